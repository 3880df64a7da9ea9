-- Waiting: promises, who is suspended until one is completed, and who is to be woken.
--
-- A suspended invocation costs its rows: nobody looks at it until its time has come or a wake-up names it.

-- A value that somebody else will bring. Whoever knows the id may complete it, and wait for it.
CREATE TABLE promise (
    id            uuid        NOT NULL,
    invocation_id uuid        NOT NULL, -- that made it; they are forgotten together
    value         bytea,                -- sealed; none while nobody has completed it
    completed_at  timestamptz,
    CONSTRAINT promise_pkey PRIMARY KEY (id)
);

-- DELETE FROM promise WHERE invocation_id is forgotten.
CREATE INDEX promise_invocation ON promise (invocation_id);

-- Suspended invocations, by what they wait for. Written with the append that suspends, removed when they are woken.
CREATE TABLE promise_waiter (
    promise_id    uuid NOT NULL,
    invocation_id uuid NOT NULL,
    CONSTRAINT promise_waiter_pkey PRIMARY KEY (promise_id, invocation_id)
);

-- DELETE FROM promise_waiter WHERE invocation_id = $1.
CREATE INDEX promise_waiter_invocation ON promise_waiter (invocation_id);

-- Suspended invocations whose promise was completed, written with the completion. A row of its own and not an update of
-- theirs: a module's transaction locks no invocation (durability.md 1.2).
CREATE TABLE wakeup (
    number        bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    invocation_id uuid   NOT NULL,
    CONSTRAINT wakeup_pkey PRIMARY KEY (number)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Makes a promise.
CREATE FUNCTION create_promise(p_node uuid, p_token bytea, p_invocation uuid, p_promise uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    INSERT INTO host.promise (id, invocation_id)
        SELECT p_promise, p_invocation
        FROM host.node WHERE id = p_node AND token_hash = sha256(p_token) AND gone_at IS NULL;
    IF NOT FOUND THEN
        PERFORM host.check_node(p_node, p_token);
    END IF;
END
$$;

-- Completes a promise and names those who wait for it. The first wins: to the second, whose append says that it was the first,
-- this is a serialization failure, and its repetition is told what happened.
CREATE FUNCTION complete_promise(p_node uuid, p_token bytea, p_promise uuid, p_value bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);

    UPDATE host.promise SET value = p_value, completed_at = now()
        FROM host.node
        WHERE promise.id = p_promise AND completed_at IS NULL
            AND node.id = p_node AND token_hash = sha256(p_token) AND gone_at IS NULL;
    IF NOT FOUND THEN
        PERFORM host.check_node(p_node, p_token);
        RAISE EXCEPTION 'the promise was completed by another' USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO host.wakeup (invocation_id)
        SELECT invocation_id FROM host.promise_waiter WHERE promise_id = p_promise;
END
$$;

-- Gives an invocation up until one of the promises is completed or its time has come. Stands behind its append, in the same
-- transaction.
--
-- Against a completion at the same moment: the share lock lets only one of the two be first. A promise that a transaction is about
-- to complete is not waited for, because that may take as long as a module likes: then the invocation looks again soon.
CREATE FUNCTION suspend(p_node uuid, p_token bytea, p_invocation uuid, p_promises uuid[], p_due_ms bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_due timestamptz := to_timestamp(p_due_ms / 1000.0);
    v_open integer;
    v_completed integer;
BEGIN
    PERFORM host.check_node(p_node, p_token);
    IF cardinality(p_promises) > 0 THEN
        INSERT INTO host.promise_waiter (promise_id, invocation_id)
            SELECT DISTINCT promise, p_invocation FROM unnest(p_promises) AS promise
            ON CONFLICT DO NOTHING;
        SELECT count(*) FILTER (WHERE completed_at IS NULL), count(*) FILTER (WHERE completed_at IS NOT NULL)
            INTO v_open, v_completed
            FROM (SELECT completed_at FROM host.promise WHERE id = ANY (p_promises) FOR SHARE SKIP LOCKED) AS promise;
        IF v_completed > 0 THEN
            v_due := now();
        ELSIF v_open < cardinality(p_promises) THEN
            v_due := least(v_due, clock_timestamp() + interval '50 milliseconds');
        END IF;
    END IF;
    UPDATE host.invocation SET status = 'suspended', node_id = NULL, due_at = v_due, updated_at = now()
        WHERE id = p_invocation;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA host FROM PUBLIC;
