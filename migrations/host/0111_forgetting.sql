-- Forgetting less than before: what somebody still waits for, and what came late.

-- As in 0070; an invocation is also kept as long as somebody waits for a promise of it.
CREATE OR REPLACE FUNCTION is_forgettable(p_invocation uuid, p_status host.invocation_status, p_ended_at timestamptz, p_before timestamptz)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT p_status IN ('completed', 'failed', 'cancelled') AND p_ended_at < p_before
        AND NOT EXISTS (SELECT FROM host.idempotency_key WHERE invocation_id = p_invocation AND expires_at > now())
        AND NOT EXISTS (SELECT FROM host.workflow WHERE invocation_id = p_invocation)
        AND NOT EXISTS (SELECT FROM host.promise JOIN host.promise_waiter ON promise_id = id WHERE promise.invocation_id = p_invocation)
$$;

-- As in 0063. Whoever begins to wait at the same moment is seen, or finds nothing to wait for and looks again soon.
CREATE OR REPLACE FUNCTION forget_ended(
    p_component text, p_after uuid, p_below uuid, p_before timestamptz, p_with_entries boolean, p_limit integer
) RETURNS TABLE (go_on_after uuid, forgotten bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_last uuid;
    v_looked integer;
    v_old uuid[];
BEGIN
    -- Two statements, so that each has its index: of a component, and the primary key.
    IF p_component IS NULL THEN
        SELECT max(id::text COLLATE "C")::uuid, count(*), coalesce(array_agg(id) FILTER (WHERE host.is_forgettable(id, status, ended_at, p_before)), '{}')
            INTO v_last, v_looked, v_old
            FROM (SELECT id, status, ended_at FROM host.invocation WHERE id > p_after AND id < p_below ORDER BY id LIMIT p_limit) AS page;
    ELSE
        SELECT max(id::text COLLATE "C")::uuid, count(*), coalesce(array_agg(id) FILTER (WHERE host.is_forgettable(id, status, ended_at, p_before)), '{}')
            INTO v_last, v_looked, v_old
            FROM (SELECT id, status, ended_at FROM host.invocation
                  WHERE component = p_component AND id > p_after AND id < p_below ORDER BY id LIMIT p_limit) AS page;
    END IF;
    IF cardinality(v_old) > 0 THEN
        PERFORM FROM host.promise WHERE invocation_id = ANY (v_old) ORDER BY id FOR UPDATE;
        -- A snapshot later than these locks.
        SELECT coalesce(array_agg(old), '{}') INTO v_old FROM unnest(v_old) AS old
            WHERE NOT EXISTS (SELECT FROM host.promise JOIN host.promise_waiter ON promise_id = id WHERE promise.invocation_id = old);
        DELETE FROM host.promise_waiter WHERE invocation_id = ANY (v_old);
        DELETE FROM host.promise WHERE invocation_id = ANY (v_old);
        IF p_with_entries THEN
            DELETE FROM host.journal_entry WHERE invocation_id = ANY (v_old);
        END IF;
        DELETE FROM host.invocation WHERE id = ANY (v_old);
    END IF;
    RETURN QUERY SELECT CASE WHEN v_looked = p_limit THEN v_last END, cardinality(v_old)::bigint;
END
$$;

-- As in 0063, but whose entries move is asked under the lock: a delivery is dated like its event, and may have been begun since somebody
-- counted. `p_stragglers` are those who were counted.
CREATE OR REPLACE FUNCTION detach_month(p_name text, p_stragglers uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    v_month date := to_date(right(p_name, 6), 'YYYYMM');
    v_late uuid[];
BEGIN
    LOCK TABLE host.journal_entry IN ACCESS EXCLUSIVE MODE;
    v_late := ARRAY (SELECT id FROM host.invocation
        WHERE id >= host.month_boundary(v_month) AND id < host.month_boundary((v_month + interval '1 month')::date));
    EXECUTE format('ALTER TABLE host.journal_entry DETACH PARTITION host.%I', p_name);
    EXECUTE format('INSERT INTO host.journal_entry_default SELECT * FROM host.%I WHERE invocation_id = ANY ($1)', p_name)
        USING p_stragglers || v_late;
END
$$;
