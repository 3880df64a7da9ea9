-- An enumeration, since a CHECK costs more: it is parsed again with every INSERT, microseconds on the way of every POST.
-- Therefore one rule has a CHECK below, and those that only the functions of this schema could break have none.
CREATE TYPE invocation_status AS ENUM ('running', 'suspended', 'paused', 'completed', 'failed', 'cancelled');

-- What is known in clear about an invocation. The row is written with its first append and changes when it changes hands or
-- ends; an append takes no lock on it (durability.md 1.2).
CREATE TABLE invocation (
    id           uuid        NOT NULL,
    component    text        NOT NULL,
    function     text        NOT NULL,
    deployment   bigint      NOT NULL, -- pins the whole call tree
    status       invocation_status NOT NULL,
    node_id      uuid,                 -- the owner; none while it is suspended, waits to be picked up, or has ended
    attempt      integer     NOT NULL DEFAULT 0,
    failures     integer     NOT NULL DEFAULT 0, -- failed attempts in a row
    due_at       timestamptz,          -- when the next attempt may begin
    cause        text,                 -- why it is paused, failed, or being retried
    erasure_salt bytea,                -- part of the key of its payloads; dropped to erase them
    parent       uuid,                 -- the invocation that sent it
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    CONSTRAINT invocation_pkey PRIMARY KEY (id),
    -- Nothing is dropped silently: what runs is in the hands of a node or of the queue.
    CONSTRAINT invocation_running_is_owned_or_due
        CHECK (status <> 'running' OR node_id IS NOT NULL OR due_at IS NOT NULL)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- SELECT id FROM invocation WHERE node_id = $1 ORDER BY id: what a dead node leaves behind.
CREATE INDEX invocation_owned ON invocation (node_id, id) WHERE node_id IS NOT NULL;

-- SELECT id FROM invocation WHERE node_id IS NULL AND due_at <= now() ORDER BY due_at: what waits to be picked up.
CREATE INDEX invocation_due ON invocation (due_at) WHERE due_at IS NOT NULL;

-- SELECT … WHERE component = $1 AND id < $2 ORDER BY id DESC: an operator's list.
CREATE INDEX invocation_component ON invocation (component, id);

-- SELECT … WHERE status = $1 AND id < $2 ORDER BY id DESC: the same for one status. Completed ones are nearly all there
-- are: the primary key lists them.
CREATE INDEX invocation_status ON invocation (status, id) WHERE status <> 'completed';
