-- Workflows: invocations under an id of somebody's choosing, at most one for each function and id.
--
-- A table of its own: an id is known as long as its own retention says, whatever becomes of the journal's partitions.
CREATE TABLE workflow (
    component     text        NOT NULL, -- that runs it
    function      text        NOT NULL, -- the interface without its version, and the function
    id            text        NOT NULL, -- of the starter's choosing, in clear
    invocation_id uuid        NOT NULL, -- that runs under it; after a restart its successor
    promise_key   bytea       NOT NULL, -- the ids of its promises are derived from it and their names
    retention_ms  bigint      NOT NULL, -- how long it is known after its end
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT workflow_pkey PRIMARY KEY (component, function, id),
    CONSTRAINT workflow_promise_key_length CHECK (octet_length(promise_key) = 32)
);

-- SELECT FROM workflow WHERE invocation_id = $1: whether what ends is one, and an invocation is kept as long as one leads to it.
CREATE INDEX workflow_invocation ON workflow (invocation_id);

-- Within its workflow; the empty name is that of the promise which is completed with the output. None: it has only its id.
ALTER TABLE promise ADD COLUMN name text;

-- Takes a workflow's id for the invocation that a message begins, and makes the promise of its output. Of two the second, whose append
-- says that it was the first, gets a serialization failure, and its repetition is told what happened.
CREATE FUNCTION start_workflow(
    p_node uuid, p_token bytea, p_invocation uuid, p_component text, p_function text, p_id text,
    p_promise_key bytea, p_output uuid, p_retention_ms bigint
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    INSERT INTO host.workflow (component, function, id, invocation_id, promise_key, retention_ms)
        SELECT p_component, p_function, p_id, p_invocation, p_promise_key, p_retention_ms
        FROM host.node WHERE id = p_node AND token_hash = sha256(p_token) AND gone_at IS NULL
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM host.check_node(p_node, p_token);
        RAISE EXCEPTION 'the workflow was started by another' USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO host.promise (id, invocation_id, name) VALUES (p_output, p_invocation, '');
END
$$;

-- As in 0009; an invocation is also kept as long as a workflow's id leads to it.
CREATE OR REPLACE FUNCTION is_forgettable(p_invocation uuid, p_status host.invocation_status, p_ended_at timestamptz, p_before timestamptz)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT p_status IN ('completed', 'failed', 'cancelled') AND p_ended_at < p_before
        AND NOT EXISTS (SELECT FROM host.idempotency_key WHERE invocation_id = p_invocation AND expires_at > now())
        AND NOT EXISTS (SELECT FROM host.workflow WHERE invocation_id = p_invocation)
$$;

-- For operators, without what the ids of its promises are derived from.
CREATE VIEW host_view.workflow AS
    SELECT component, function, id, invocation_id, retention_ms, created_at FROM host.workflow;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA host FROM PUBLIC;
