-- Forgetting a month of which much is still known: that is copied a part at a time, while the month is in use, into a table that then takes
-- its place. No month stands in the way of a later one.

-- The months that lie wholly before, oldest first: their names, and between which ids they lie.
CREATE FUNCTION past_months(p_before timestamptz) RETURNS TABLE (name text, from_id uuid, to_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT relname::text, host.month_boundary(month), host.month_boundary((month + interval '1 month')::date)
    FROM (SELECT relname, to_date(right(relname, 6), 'YYYYMM') AS month
          FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
          WHERE inhparent = 'host.journal_entry'::regclass AND relname ~ '^journal_entry_\d{6}$') AS months
    WHERE (month + interval '1 month') AT TIME ZONE 'UTC' <= p_before
    ORDER BY relname
$$;

-- Copies the entries of the next `p_limit` invocations of a month after `p_after` that are not copied yet. Gives where to go on; null at the
-- end. The table is the month's from then on if whoever copies dies, and what has been forgotten meanwhile goes from it at the end.
CREATE FUNCTION copy_stragglers(p_name text, p_from uuid, p_to uuid, p_after uuid, p_limit integer) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_rest text := p_name || '_rest';
    v_ids uuid[];
BEGIN
    IF to_regclass('host.' || v_rest) IS NULL THEN
        EXECUTE format('CREATE TABLE host.%I (LIKE host.journal_entry INCLUDING ALL)', v_rest);
        -- Known to hold, it is not looked for when the table takes the month's place.
        EXECUTE format('ALTER TABLE host.%I ADD CONSTRAINT %I CHECK (invocation_id >= %L AND invocation_id < %L)',
            v_rest, v_rest || '_is_of_the_month', p_from, p_to);
    END IF;
    v_ids := ARRAY (SELECT id FROM host.invocation WHERE id > p_after AND id >= p_from AND id < p_to ORDER BY id LIMIT p_limit);
    EXECUTE format('INSERT INTO host.%I SELECT * FROM host.%I WHERE invocation_id = ANY ($1) ON CONFLICT DO NOTHING', v_rest, p_name)
        USING v_ids;
    IF cardinality(v_ids) = p_limit THEN
        RETURN v_ids[p_limit];
    END IF;
    EXECUTE format('DELETE FROM host.%I WHERE NOT EXISTS (SELECT FROM host.invocation WHERE id = invocation_id)', v_rest);
    RETURN NULL;
END
$$;

-- Puts the copy in the place of the month, with what has come since. An append waits for this: for the appends under way, which is next to
-- nothing or fails, and for one look for each invocation that was copied.
CREATE FUNCTION replace_month(p_name text, p_from uuid, p_to uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    v_rest text := p_name || '_rest';
BEGIN
    LOCK TABLE host.journal_entry IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('ALTER TABLE host.journal_entry DETACH PARTITION host.%I', p_name);
    EXECUTE format(
        'INSERT INTO host.%1$I
         SELECT late.* FROM host.invocation
         CROSS JOIN LATERAL (
             SELECT coalesce(max(entry_index), -1) AS last FROM host.%1$I WHERE invocation_id = invocation.id
         ) AS copied
         CROSS JOIN LATERAL (
             SELECT * FROM host.%2$I WHERE invocation_id = invocation.id AND entry_index > copied.last
         ) AS late
         WHERE invocation.id >= $1 AND invocation.id < $2', v_rest, p_name) USING p_from, p_to;
    EXECUTE format('ALTER TABLE host.journal_entry ATTACH PARTITION host.%I FOR VALUES FROM (%L) TO (%L)', v_rest, p_from, p_to);
END
$$;

-- Drops the tables that took a month's place and have no entry left, and copies whose month was dropped without them. Gives how many.
CREATE FUNCTION drop_empty_rests() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    v_name text;
    v_is_used boolean;
    v_is_empty boolean;
    v_dropped integer := 0;
BEGIN
    FOR v_name, v_is_used IN SELECT relname, relispartition FROM pg_class
        WHERE relnamespace = 'host'::regnamespace AND relkind = 'r' AND relname ~ '^journal_entry_\d{6}_rest$'
    LOOP
        IF v_is_used THEN
            EXECUTE format('SELECT NOT EXISTS (SELECT FROM host.%I)', v_name) INTO v_is_empty;
            CONTINUE WHEN NOT v_is_empty;
            LOCK TABLE host.journal_entry IN ACCESS EXCLUSIVE MODE;
            -- A delivery is dated like its event, and may have been begun since.
            EXECUTE format('SELECT NOT EXISTS (SELECT FROM host.%I)', v_name) INTO v_is_empty;
            CONTINUE WHEN NOT v_is_empty;
        ELSE
            CONTINUE WHEN to_regclass('host.' || left(v_name, -length('_rest'))) IS NOT NULL;
        END IF;
        EXECUTE format('DROP TABLE host.%I', v_name);
        v_dropped := v_dropped + 1;
    END LOOP;
    RETURN v_dropped;
END
$$;

REVOKE ALL ON FUNCTION past_months, copy_stragglers, replace_month, drop_empty_rests FROM PUBLIC;
