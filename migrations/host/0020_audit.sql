-- What operators said, each word in the commit of the fence that is its effect: no word without its record, no record without the
-- word. It outlives the invocations it speaks of.
CREATE TABLE audit (
    id            bigint      GENERATED ALWAYS AS IDENTITY,
    said_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    operator      text        NOT NULL, -- the name given with the word, or "admin token"
    verb          text        NOT NULL, -- pause, resume, cancel, restart, complete-entry
    invocation_id uuid        NOT NULL,
    entry_index   integer     NOT NULL, -- of the fence in its journal; of a restart: 0 of its successor's
    successor     uuid,                 -- of a restart: the invocation that was begun
    reason        text        NOT NULL, -- may be empty
    outcome       text        NOT NULL, -- what the word came to
    CONSTRAINT audit_pkey PRIMARY KEY (id),
    CONSTRAINT audit_restart_has_successor CHECK ((verb = 'restart') = (successor IS NOT NULL))
);

-- SELECT … WHERE invocation_id = $1 AND id < $2 ORDER BY id DESC: what was said of one. And a fence is one word's.
CREATE UNIQUE INDEX audit_fence ON audit (invocation_id, entry_index) WHERE verb <> 'restart';

-- SELECT … WHERE invocation_id = $1 AND verb = 'restart': an invocation is begun again once; whoever asks a second time gets the same.
CREATE UNIQUE INDEX audit_restarted ON audit (invocation_id) WHERE verb = 'restart';

-- DELETE FROM audit WHERE said_at < $1
CREATE INDEX audit_said ON audit (said_at);
