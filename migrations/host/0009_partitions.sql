-- The smallest UUID of version 7 made in this month (UTC) or later, by its first 48 bits.
CREATE FUNCTION month_boundary(p_month date) RETURNS uuid LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT (lpad(to_hex((extract(epoch FROM p_month::timestamp AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Makes the partitions of this month and those after it that do not exist. Entries that wait in the default partition move
-- to where they belong. Appends wait meanwhile, which is short, or nothing happens: the next call tries again.
CREATE FUNCTION create_partitions(p_months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    v_month date;
    v_name text;
    v_from uuid;
    v_to uuid;
    v_created integer := 0;
BEGIN
    FOR v_ahead IN 0 .. p_months - 1 LOOP
        v_month := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => v_ahead))::date;
        v_name := 'journal_entry_' || to_char(v_month, 'YYYYMM');
        CONTINUE WHEN to_regclass('host.' || v_name) IS NOT NULL;
        v_from := host.month_boundary(v_month);
        v_to := host.month_boundary((v_month + interval '1 month')::date);

        LOCK TABLE host.journal_entry IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE host.%I (LIKE host.journal_entry INCLUDING ALL)', v_name);
        EXECUTE format('WITH moved AS (DELETE FROM host.journal_entry_default
            WHERE invocation_id >= %L AND invocation_id < %L RETURNING *) INSERT INTO host.%I SELECT * FROM moved',
            v_from, v_to, v_name);
        EXECUTE format('ALTER TABLE host.journal_entry ATTACH PARTITION host.%I FOR VALUES FROM (%L) TO (%L)',
            v_name, v_from, v_to);
        v_created := v_created + 1;
    END LOOP;
    RETURN v_created;
END
$$;

-- An invocation may be forgotten: it ended before, and no key that is still good leads to it.
CREATE FUNCTION is_forgettable(p_invocation uuid, p_status host.invocation_status, p_ended_at timestamptz, p_before timestamptz)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT p_status IN ('completed', 'failed', 'cancelled') AND p_ended_at < p_before
        AND NOT EXISTS (SELECT FROM host.idempotency_key WHERE invocation_id = p_invocation AND expires_at > now())
$$;

-- Drops the oldest partition that lies wholly before, with the invocations it holds. Stragglers are moved to the default
-- partition first. Gives the partition's name, or null when there is none.
CREATE FUNCTION drop_oldest_partition(p_before timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    v_name text;
    v_month date;
    v_from uuid;
    v_to uuid;
BEGIN
    SELECT relname, to_date(right(relname, 6), 'YYYYMM') INTO v_name, v_month
        FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'host.journal_entry'::regclass AND relname ~ '^journal_entry_\d{6}$'
        ORDER BY relname LIMIT 1;
    IF v_name IS NULL OR (v_month + interval '1 month') AT TIME ZONE 'UTC' > p_before THEN
        RETURN NULL;
    END IF;
    v_from := host.month_boundary(v_month);
    v_to := host.month_boundary((v_month + interval '1 month')::date);

    LOCK TABLE host.journal_entry IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('ALTER TABLE host.journal_entry DETACH PARTITION host.%I', v_name);
    DELETE FROM host.invocation
        WHERE id >= v_from AND id < v_to AND host.is_forgettable(id, status, ended_at, p_before);
    EXECUTE format('INSERT INTO host.journal_entry SELECT entry.* FROM host.%I AS entry
        WHERE EXISTS (SELECT FROM host.invocation WHERE id = entry.invocation_id)', v_name);
    EXECUTE format('DROP TABLE host.%I', v_name);
    RETURN v_name;
END
$$;

-- Forgets what ended before among the stragglers.
CREATE FUNCTION forget_stragglers(p_before timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_forgotten bigint;
BEGIN
    WITH forgotten AS (
        DELETE FROM host.invocation
            WHERE id IN (SELECT DISTINCT invocation_id FROM host.journal_entry_default)
                AND host.is_forgettable(id, status, ended_at, p_before)
            RETURNING id
    ), entries AS (
        DELETE FROM host.journal_entry_default WHERE invocation_id IN (SELECT id FROM forgotten)
    ) SELECT count(*) INTO v_forgotten FROM forgotten;
    RETURN v_forgotten;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA host FROM PUBLIC;
