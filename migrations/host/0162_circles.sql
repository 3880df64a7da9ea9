-- Circles that lead through the output of a workflow: who holds a key waits for a workflow to end, and the workflow waits for the key. Of such a
-- circle it is a wait for a key that is refused, as of one of keys alone, whichever of its waits came last.

-- For whom an invocation waits: those before it in the queues of its keys, and the workflows whose output it is suspended for.
CREATE FUNCTION waits_for(p_invocation uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT before.invocation_id
    FROM host.exclusive_place AS mine
    JOIN host.exclusive_place AS before ON before.key = mine.key AND before.number < mine.number
    WHERE mine.invocation_id = p_invocation AND NOT mine.refused AND NOT before.refused
    UNION ALL
    SELECT promise.invocation_id
    FROM host.promise_waiter JOIN host.promise ON promise.id = promise_waiter.promise_id
    WHERE promise_waiter.invocation_id = p_invocation AND promise.name = '' AND promise.completed_at IS NULL
$$;

-- For whom it waits, and for whom they wait, and so on.
CREATE FUNCTION waits_behind(p_invocation uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, host, pg_temp AS $$
    WITH RECURSIVE awaited (invocation_id) AS (
        SELECT host.waits_for(p_invocation)
        UNION
        SELECT next FROM awaited, LATERAL host.waits_for(awaited.invocation_id) AS next
    ) SELECT invocation_id FROM awaited
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

-- The invocation is about to be suspended until a workflow has ended. If that closes a circle, a wait for a key in it is refused, and who waits
-- so is woken to be told: of several the one that came last, and others only where that leaves a circle. A key's lock comes before the one under
-- which circles are looked for, as everywhere.
CREATE FUNCTION refuse_circle_of_output(p_invocation uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_keys uuid[];
    v_key uuid;
    v_waiting uuid;
BEGIN
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
    v_outputs integer;
BEGIN
    PERFORM host.check_node(p_node, p_token);
    IF cardinality(p_promises) > 0 THEN
        INSERT INTO host.promise_waiter (promise_id, invocation_id)
            SELECT DISTINCT promise, p_invocation FROM unnest(p_promises) AS promise
            ON CONFLICT DO NOTHING;
        SELECT count(*) FILTER (WHERE completed_at IS NULL), count(*) FILTER (WHERE completed_at IS NOT NULL),
                count(*) FILTER (WHERE completed_at IS NULL AND name = '')
            INTO v_open, v_completed, v_outputs
            FROM (SELECT completed_at, name FROM host.promise WHERE id = ANY (p_promises) FOR SHARE SKIP LOCKED) AS promise;
        IF v_completed > 0 THEN
            v_due := now();
        ELSIF v_open < cardinality(p_promises) THEN
            v_due := least(v_due, clock_timestamp() + interval '50 milliseconds');
        END IF;
    END IF;
    UPDATE host.invocation SET status = 'suspended', node_id = NULL, due_at = v_due, updated_at = now()
        WHERE id = p_invocation;
    IF v_outputs > 0 AND EXISTS (SELECT FROM host.exclusive_place) THEN
        -- One after another, so that of two whose waits close a circle together the second sees it.
        PERFORM pg_advisory_xact_lock(1852139641, 0);
        PERFORM host.refuse_circle_of_output(p_invocation);
    END IF;
END
$$;

REVOKE ALL ON FUNCTION waits_for, waits_behind, refuse_circle_of_output FROM PUBLIC;
