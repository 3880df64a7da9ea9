-- Where this data was when nodes last worked on it. A start that finds it somewhere else, or earlier than its own data directory has seen
-- it, has a database before it that was restored from a backup: what had happened since is not in it, and may have happened all the
-- same. Then every open invocation waits for a person (durability.md 10.4).
CREATE TABLE origin (
    is_only           boolean NOT NULL DEFAULT true,
    system_identifier bigint  NOT NULL, -- of the server's data, made by initdb; a dump does not carry it along
    database_oid      oid     NOT NULL, -- another one after a restore beside the original
    timeline          text    NOT NULL, -- another one after a recovery to an earlier moment; live nodes follow a failover
    CONSTRAINT origin_pkey PRIMARY KEY (is_only),
    CONSTRAINT origin_one_row CHECK (is_only)
);

-- Each restore that was noticed.
CREATE TABLE restoration (
    number     bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    why        text        NOT NULL,
    paused     bigint      NOT NULL,
    CONSTRAINT restoration_pkey PRIMARY KEY (number)
);

-- The history of the server that is written now.
CREATE FUNCTION current_timeline() RETURNS text LANGUAGE sql VOLATILE SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)
$$;

-- Compares, takes note, and after a restore pauses what is open and declares every node gone: the nodes of the original may still run, and
-- must not go on here. `p_seen_ms` is when the data directory of whoever starts last saw a heartbeat of its own in the database (milliseconds
-- since 1970-01-01 UTC by the database's clock, 0: never); `p_restored` says that an operator knows better. No row: nothing was restored.
CREATE FUNCTION check_origin(p_seen_ms bigint, p_restored boolean) RETURNS TABLE (why text, paused bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_known host.origin;
    v_system bigint := (SELECT system_identifier FROM pg_control_system());
    v_database oid := (SELECT oid FROM pg_database WHERE datname = current_database());
    v_timeline text := host.current_timeline();
    v_last_ms bigint;
BEGIN
    -- Of two that start at once, the second finds what the first has put right. Registrations wait, heartbeats do not.
    LOCK TABLE host.node IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT * INTO v_known FROM host.origin;
    SELECT coalesce(ceil(extract(epoch FROM max(heartbeat_at)) * 1000), 0)::bigint INTO v_last_ms FROM host.node;
    why := CASE
        WHEN p_restored THEN 'an operator said so'
        WHEN v_known.system_identifier <> v_system THEN 'it is on another server'
        WHEN v_known.database_oid <> v_database THEN 'it is another database of the server'
        WHEN v_known.timeline <> v_timeline THEN 'the server was recovered to an earlier moment'
        WHEN p_seen_ms > v_last_ms THEN 'it is at an earlier moment than this data directory has seen'
    END;
    INSERT INTO host.origin (system_identifier, database_oid, timeline) VALUES (v_system, v_database, v_timeline)
        ON CONFLICT (is_only) DO UPDATE SET
            system_identifier = excluded.system_identifier, database_oid = excluded.database_oid, timeline = excluded.timeline;
    IF why IS NULL THEN
        RETURN;
    END IF;
    UPDATE host.node SET gone_at = clock_timestamp() WHERE gone_at IS NULL;
    -- No fence: nobody is left whose append it would have to make fail.
    UPDATE host.invocation SET
        status = 'paused', node_id = NULL, due_at = NULL, updated_at = now(),
        cause = 'the database was restored from a backup: ' || why || '; what this had done since is not known here'
        WHERE status IN ('running', 'suspended');
    GET DIAGNOSTICS paused = ROW_COUNT;
    INSERT INTO host.restoration (why, paused) VALUES (check_origin.why, check_origin.paused);
    RETURN NEXT;
END
$$;

REVOKE ALL ON FUNCTION current_timeline, check_origin FROM PUBLIC;
