-- Waking those whom the snapshot does not show. A module's transaction may be SERIALIZABLE, and then all it does sees what was there when it
-- began: who has begun to wait since, and has seen that there was something to wait for, is not among those whom it finds. It leaves word of
-- what came to be instead, and whoever looks for what was woken finds those who wait for that. In any other transaction each statement has a
-- snapshot of its own, taken behind the lock on what is waited for.

-- Something came to be that others may wait for: a promise was completed, or a key was given up.
CREATE TABLE wakeup_cause (
    number     bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    promise_id uuid,
    key        uuid,
    CONSTRAINT wakeup_cause_pkey PRIMARY KEY (number),
    CONSTRAINT wakeup_cause_is_one CHECK (num_nonnulls(promise_id, key) = 1)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

CREATE VIEW host_view.wakeup_cause AS
    SELECT number, host_view.promise_fingerprint(promise_id) AS promise, key FROM host.wakeup_cause;

-- The statements of this transaction do not see what others commit meanwhile.
CREATE FUNCTION is_snapshot_kept() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')
$$;

-- As in 0012, and those whom the snapshot does not show are woken as well.
CREATE OR REPLACE FUNCTION complete_promise(p_node uuid, p_token bytea, p_promise uuid, p_value bytea) RETURNS void
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
    IF host.is_snapshot_kept() THEN
        INSERT INTO host.wakeup_cause (promise_id) VALUES (p_promise);
    END IF;
END
$$;

-- The place is refused, if its owner waits for somebody who waits for it. Whether it is.
CREATE FUNCTION refuse_circle(p_key uuid, p_invocation uuid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    -- One that waits after another, so that of two whose waits close a cycle together the second sees it.
    PERFORM pg_advisory_xact_lock(1852139640, 0);
    UPDATE host.exclusive_place SET refused = true
        WHERE key = p_key AND invocation_id = p_invocation AND p_invocation IN (
            WITH RECURSIVE awaited (invocation_id) AS (
                SELECT before.invocation_id
                FROM host.exclusive_place AS mine
                JOIN host.exclusive_place AS before ON before.key = mine.key AND before.number < mine.number
                WHERE mine.invocation_id = p_invocation AND NOT mine.refused AND NOT before.refused
                UNION
                SELECT before.invocation_id
                FROM awaited
                JOIN host.exclusive_place AS theirs ON theirs.invocation_id = awaited.invocation_id
                JOIN host.exclusive_place AS before ON before.key = theirs.key AND before.number < theirs.number
                WHERE NOT theirs.refused AND NOT before.refused
            ) SELECT invocation_id FROM awaited);
    RETURN FOUND;
END
$$;

-- As in 0072.
CREATE OR REPLACE FUNCTION take_place(p_node uuid, p_token bytea, p_invocation uuid, p_key uuid, p_component text, p_function text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    PERFORM host.check_node(p_node, p_token);
    PERFORM host.lock_key(p_key);
    INSERT INTO host.exclusive_place AS place (key, invocation_id, component, function)
        VALUES (p_key, p_invocation, p_component, p_function)
        ON CONFLICT (key, invocation_id) DO UPDATE SET refused = false, number = DEFAULT WHERE place.refused;
    IF host.waits_for_key(p_key, p_invocation) THEN
        PERFORM host.refuse_circle(p_key, p_invocation);
    END IF;
END
$$;

-- As in 0072, and in a transaction that keeps its snapshot: a place that the snapshot does not show, which a sibling has taken since, is a
-- conflict, after which the transaction is repeated; and those behind it are woken as well.
CREATE OR REPLACE FUNCTION give_up_places(p_node uuid, p_token bytea, p_invocation uuid, p_keys uuid[], p_all boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_key uuid;
BEGIN
    PERFORM host.check_node(p_node, p_token);
    IF host.is_snapshot_kept() THEN
        FOR v_key IN SELECT DISTINCT key FROM unnest(p_keys) AS key ORDER BY key LOOP
            PERFORM host.lock_key(v_key);
            INSERT INTO host.exclusive_place (key, invocation_id, component, function) VALUES (v_key, p_invocation, '', '')
                ON CONFLICT DO NOTHING;
            INSERT INTO host.wakeup_cause (key) VALUES (v_key);
        END LOOP;
    END IF;
    FOR v_key IN
        SELECT key FROM host.exclusive_place
        WHERE invocation_id = p_invocation AND (p_all OR key = ANY (p_keys)) ORDER BY key
    LOOP
        PERFORM host.lock_key(v_key);
        DELETE FROM host.exclusive_place WHERE key = v_key AND invocation_id = p_invocation;
        INSERT INTO host.wakeup (invocation_id)
            SELECT invocation_id FROM host.exclusive_place WHERE key = v_key AND NOT refused ORDER BY number LIMIT 1;
    END LOOP;
END
$$;

-- As in 0072, and whether the wait closes a cycle is asked again: where the place was taken may not have seen all others.
CREATE OR REPLACE FUNCTION suspend_for_keys(p_node uuid, p_token bytea, p_invocation uuid, p_keys uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_key uuid;
BEGIN
    PERFORM host.check_node(p_node, p_token);
    FOR v_key IN SELECT key FROM unnest(p_keys) AS key ORDER BY key LOOP
        PERFORM host.lock_key(v_key);
        IF NOT host.waits_for_key(v_key, p_invocation) OR host.refuse_circle(v_key, p_invocation) THEN
            UPDATE host.invocation SET due_at = now() WHERE id = p_invocation AND status = 'suspended';
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION is_snapshot_kept, refuse_circle FROM PUBLIC;
