-- Circles that lead through the output of a workflow: who holds a key waits for a workflow to end, and the workflow waits for the key. Of such a
-- circle it is a wait for a key that is refused, as of one of keys alone, whichever of its waits came last.

-- For whom an invocation waits, and for whom they wait, and so on: who stands before it in the queue of a key, and the workflows whose output
-- it is suspended for. Of a queue only the next one before is looked for, who waits for the others, or a long one would cost its square.
CREATE FUNCTION waits_behind(p_invocation uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, host, pg_temp AS $$
    WITH RECURSIVE awaited (invocation_id, is_behind) AS (
        SELECT p_invocation, false
        UNION
        SELECT next.invocation_id, true FROM awaited CROSS JOIN LATERAL (
            SELECT before.invocation_id
            FROM host.exclusive_place AS mine CROSS JOIN LATERAL (
                SELECT place.invocation_id FROM host.exclusive_place AS place
                WHERE place.key = mine.key AND place.number < mine.number AND NOT place.refused
                ORDER BY place.number DESC LIMIT 1) AS before
            WHERE mine.invocation_id = awaited.invocation_id AND NOT mine.refused
            UNION ALL
            SELECT promise.invocation_id
            FROM host.promise_waiter JOIN host.promise ON promise.id = promise_waiter.promise_id
            WHERE promise_waiter.invocation_id = awaited.invocation_id AND promise.name = '' AND promise.completed_at IS NULL
        ) AS next
    ) SELECT invocation_id FROM awaited WHERE is_behind
$$;

-- As in 0110, whatever they wait for.
CREATE OR REPLACE FUNCTION refuse_circle(p_key uuid, p_invocation uuid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    -- One that waits after another, so that of two whose waits close a cycle together the second sees it.
    PERFORM pg_advisory_xact_lock(1852139640, 0);
    UPDATE host.exclusive_place SET refused = true
        WHERE key = p_key AND invocation_id = p_invocation AND p_invocation IN (SELECT host.waits_behind(p_invocation));
    RETURN FOUND;
END
$$;

-- Until the end of the transaction nobody else is suspended in a way that may close a circle with this one: of two waits of which one is for an
-- output, the second sees the first. Those for keys alone see each other by 0110. Before the locks of keys and promises, everywhere. Whether one
-- for an output may close a circle.
CREATE FUNCTION lock_waits(p_promises uuid[], p_keys uuid[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    IF cardinality(p_promises) > 0
        AND EXISTS (SELECT FROM host.promise WHERE id = ANY (p_promises) AND name = '' AND completed_at IS NULL)
        AND EXISTS (SELECT FROM host.exclusive_place)
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

-- The invocation is about to be suspended until a workflow has ended. If that closes a circle, which then leads through it, a wait for a key in it
-- is refused, and who waits so is woken to be told: of several the one that came last, and others only where that leaves a circle. A key's lock
-- comes before the one under which circles are looked for, as everywhere.
CREATE FUNCTION refuse_circle_of_output(p_invocation uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_keys uuid[];
    v_key uuid;
    v_waiting uuid;
BEGIN
    IF p_invocation NOT IN (SELECT host.waits_behind(p_invocation)) THEN
        RETURN;
    END IF;
    v_keys := ARRAY(SELECT DISTINCT key FROM host.exclusive_place
        WHERE invocation_id IN (SELECT host.waits_behind(p_invocation)) AND host.waits_for_key(key, invocation_id) ORDER BY key);
    FOREACH v_key IN ARRAY v_keys LOOP
        PERFORM host.lock_key(v_key);
    END LOOP;
    -- A snapshot later than these locks.
    FOR v_key, v_waiting IN SELECT key, invocation_id FROM host.exclusive_place
        WHERE key = ANY (v_keys) AND invocation_id IN (SELECT host.waits_behind(p_invocation)) ORDER BY number DESC
    LOOP
        IF host.waits_for_key(v_key, v_waiting) AND host.refuse_circle(v_key, v_waiting) THEN
            INSERT INTO host.wakeup (invocation_id) VALUES (v_waiting);
            EXIT WHEN p_invocation NOT IN (SELECT host.waits_behind(p_invocation));
        END IF;
    END LOOP;
END
$$;

-- As in 0012, and circles are looked for when there are keys and it waits for an output.
CREATE OR REPLACE FUNCTION suspend(p_node uuid, p_token bytea, p_invocation uuid, p_promises uuid[], p_due_ms bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_due timestamptz := to_timestamp(p_due_ms / 1000.0);
    v_open integer;
    v_completed integer;
    v_may_close boolean;
BEGIN
    PERFORM host.check_node(p_node, p_token);
    v_may_close := host.lock_waits(p_promises, '{}');
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
    END IF;
END
$$;

-- As in 0110, behind those whose wait for an output may close a circle with this one; and all its keys are locked before circles are looked for.
CREATE OR REPLACE FUNCTION suspend_for_keys(p_node uuid, p_token bytea, p_invocation uuid, p_keys uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_keys uuid[] := ARRAY(SELECT DISTINCT key FROM unnest(p_keys) AS key ORDER BY key);
    v_key uuid;
BEGIN
    PERFORM host.check_node(p_node, p_token);
    PERFORM host.lock_waits('{}', v_keys);
    FOREACH v_key IN ARRAY v_keys LOOP
        PERFORM host.lock_key(v_key);
    END LOOP;
    FOREACH v_key IN ARRAY v_keys LOOP
        IF NOT host.waits_for_key(v_key, p_invocation) OR host.refuse_circle(v_key, p_invocation) THEN
            UPDATE host.invocation SET due_at = now() WHERE id = p_invocation AND status = 'suspended';
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION waits_behind, lock_waits, refuse_circle_of_output FROM PUBLIC;
