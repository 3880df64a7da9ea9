-- Circles of waits that lead through outputs alone: workflows that wait for each other, or one for itself. As there is no wait for a key in such a
-- circle that could be refused, it is the wait that closes it, and who waits so is told by the host, which asks before each wait for an output.
-- Here is seen to it that of waits that close a circle at the same moment one comes back to ask again.

-- Whose outputs an invocation waits for, and whose those wait for, and so on. What was set going while it waited may have left its rows behind.
CREATE FUNCTION outputs_behind(p_invocation uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, host, pg_temp AS $$
    WITH RECURSIVE awaited (invocation_id, is_behind) AS (
        SELECT p_invocation, false
        UNION
        SELECT promise.invocation_id, true
        FROM awaited JOIN host.promise_waiter ON promise_waiter.invocation_id = awaited.invocation_id
            JOIN host.promise ON promise.id = promise_waiter.promise_id
            JOIN host.invocation AS waiting ON waiting.id = promise_waiter.invocation_id
        WHERE promise.name = '' AND promise.completed_at IS NULL
            -- A wait that ends by itself is no part of a circle.
            AND (waiting.status = 'paused' OR waiting.status = 'suspended' AND waiting.due_at IS NULL)
    ) SELECT invocation_id FROM awaited WHERE is_behind
$$;

-- Whether a wait of the invocation for this promise would never end: it is the output of a workflow that waits for the invocation, or that is it.
CREATE FUNCTION closes_circle(p_invocation uuid, p_promise uuid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT EXISTS (SELECT FROM host.promise
        WHERE id = p_promise AND name = '' AND completed_at IS NULL
            AND (invocation_id = p_invocation OR p_invocation IN (SELECT host.outputs_behind(invocation_id))))
$$;

-- As lock_waits in 0162, which nodes of the version before call; and a wait for an output that nothing else ends (`p_is_bounded` says otherwise)
-- closes a circle without any key, too, if others can wait for one's own. Such suspensions are one after the other, each for as long as its
-- commit takes.
CREATE FUNCTION lock_waits_of(p_invocation uuid, p_promises uuid[], p_keys uuid[], p_is_bounded boolean) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    IF cardinality(p_promises) > 0
        AND EXISTS (SELECT FROM host.promise WHERE id = ANY (p_promises) AND name = '' AND completed_at IS NULL)
        AND (EXISTS (SELECT FROM host.exclusive_place)
            OR NOT p_is_bounded AND EXISTS (SELECT FROM host.promise WHERE invocation_id = p_invocation AND name = ''))
    THEN
        PERFORM pg_advisory_xact_lock(1852139641, 0);
        RETURN true;
    END IF;
    IF cardinality(p_keys) > 0 THEN
        PERFORM pg_advisory_xact_lock_shared(1852139641, 0);
    END IF;
    RETURN false;
END
$$;

-- As in 0162, and what it waited for before it was set going by a person is waited for no more. A wait for an output that closes a circle although
-- no wait for a key in one is left is not begun: the invocation is due soon, and asks then. Not at once, since a node of the version before does
-- not ask, and comes back here.
CREATE OR REPLACE FUNCTION suspend(p_node uuid, p_token bytea, p_invocation uuid, p_promises uuid[], p_due_ms bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_due timestamptz := to_timestamp(p_due_ms / 1000.0);
    v_open integer;
    v_completed integer;
    v_may_close boolean;
BEGIN
    PERFORM host.check_node(p_node, p_token);
    v_may_close := host.lock_waits_of(p_invocation, p_promises, '{}', p_due_ms IS NOT NULL);
    DELETE FROM host.promise_waiter WHERE invocation_id = p_invocation AND promise_id <> ALL (p_promises);
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
    IF v_may_close THEN
        PERFORM host.refuse_circle_of_output(p_invocation);
        DELETE FROM host.promise_waiter
            WHERE invocation_id = p_invocation AND p_due_ms IS NULL AND host.closes_circle(p_invocation, promise_id);
        IF FOUND THEN
            UPDATE host.invocation SET due_at = least(due_at, clock_timestamp() + interval '1 second') WHERE id = p_invocation;
        END IF;
    END IF;
END
$$;

REVOKE ALL ON FUNCTION outputs_behind, closes_circle, lock_waits_of FROM PUBLIC;
