-- Forgetting what is past its time, so that nobody has to wait for it: a little at a time, and of a month's partition only the moment
-- in which it is taken out of the table. Replaces `drop_oldest_partition` and `forget_stragglers` (0009), which did it in one go;
-- both stay for nodes of the version before.

-- The smallest UUID of version 7 made at this time or later, by its first 48 bits.
CREATE FUNCTION time_boundary(p_time timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT (lpad(to_hex(greatest(floor(extract(epoch FROM p_time) * 1000)::bigint, 0)), 12, '0') || repeat('0', 20))::uuid
$$;

-- Of the next `p_limit` invocations after `p_after` and below `p_below` (of one component, or of all), forgets those that ended before
-- `p_before` and to which no good key leads: their rows and promises, and their entries if those are not about to go with their
-- partition. Gives where to go on (null at the end), and how many were forgotten.
CREATE FUNCTION forget_ended(
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

-- The oldest month that lies wholly before: its name, and between which ids it lies. No row when there is none.
CREATE FUNCTION oldest_month(p_before timestamptz) RETURNS TABLE (name text, from_id uuid, to_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT relname::text, host.month_boundary(month), host.month_boundary((month + interval '1 month')::date)
    FROM (SELECT relname, to_date(right(relname, 6), 'YYYYMM') AS month
          FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
          WHERE inhparent = 'host.journal_entry'::regclass AND relname ~ '^journal_entry_\d{6}$'
          ORDER BY relname LIMIT 1) AS oldest
    WHERE (month + interval '1 month') AT TIME ZONE 'UTC' <= p_before
$$;

-- The invocations of a month that are still known, and how many entries they have there: what has to be moved. Looks no further than a
-- little past `p_limit`.
CREATE FUNCTION stragglers(p_name text, p_from uuid, p_to uuid, p_limit integer) RETURNS TABLE (ids uuid[], entries bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    ids := ARRAY (SELECT id FROM host.invocation WHERE id >= p_from AND id < p_to ORDER BY id LIMIT p_limit + 1);
    EXECUTE format('SELECT count(*) FROM host.%I WHERE invocation_id = ANY ($1)', p_name) INTO entries USING ids;
    RETURN NEXT;
END
$$;

-- Takes a month out of the table, the entries of its stragglers moved to the default partition. An append waits for this: at most as long
-- as this waits for the appends under way, which is next to nothing or fails, and for the few entries that move.
CREATE FUNCTION detach_month(p_name text, p_stragglers uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    LOCK TABLE host.journal_entry IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('ALTER TABLE host.journal_entry DETACH PARTITION host.%I', p_name);
    EXECUTE format('INSERT INTO host.journal_entry_default SELECT * FROM host.%I WHERE invocation_id = ANY ($1)', p_name)
        USING p_stragglers;
END
$$;

-- Drops the months that were taken out, also by whoever died before dropping one. Gives how many.
CREATE FUNCTION drop_detached_months() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_name text;
    v_dropped integer := 0;
BEGIN
    FOR v_name IN SELECT relname FROM pg_class
        WHERE relnamespace = 'host'::regnamespace AND relkind = 'r' AND NOT relispartition AND relname ~ '^journal_entry_\d{6}$'
    LOOP
        EXECUTE format('DROP TABLE host.%I', v_name);
        v_dropped := v_dropped + 1;
    END LOOP;
    RETURN v_dropped;
END
$$;

-- The components of which there are invocations: one look into the index for each, however many invocations it has.
CREATE FUNCTION known_components() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
    WITH RECURSIVE known (component) AS (
        (SELECT component FROM host.invocation ORDER BY component LIMIT 1)
        UNION ALL
        SELECT (SELECT component FROM host.invocation WHERE component > known.component ORDER BY component LIMIT 1)
        FROM known WHERE known.component IS NOT NULL
    ) SELECT component FROM known WHERE component IS NOT NULL
$$;

REVOKE ALL ON FUNCTION time_boundary, forget_ended, oldest_month, stragglers, detach_month, drop_detached_months, known_components
    FROM PUBLIC;
