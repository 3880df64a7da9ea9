-- Which programs may use this schema as it is. While nodes are replaced one by one, those of the last version and of this one use it
-- at the same time: a migration adds, and takes away only what no live node needs any more.

-- The number of the newest migration a node knows. None of a node that is older than this column.
ALTER TABLE node ADD COLUMN knows integer;

-- One row: whoever knows the migrations up to this number can use the schema. A migration that adds does not change it.
CREATE TABLE schema_use (
    is_only    boolean NOT NULL DEFAULT true,
    known_from integer NOT NULL,
    CONSTRAINT schema_use_pkey PRIMARY KEY (is_only),
    CONSTRAINT schema_use_one_row CHECK (is_only)
);
INSERT INTO schema_use (known_from) VALUES (0);

-- For the first line of a migration that takes something away which nodes use that know less than `p_from`. Fails while one of them
-- lives, and keeps them from starting afterwards. It waits for registrations, which look at the same row under the same lock.
CREATE FUNCTION require_nodes(p_from integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_older text;
BEGIN
    LOCK TABLE host.node IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT string_agg(format('%s (knows %s)', name, coalesce(knows::text, 'no number')), ', ' ORDER BY name) INTO v_older
        FROM host.node
        WHERE gone_at IS NULL AND coalesce(knows, 0) < p_from
            AND heartbeat_at >= clock_timestamp() - lease_ms * interval '1 millisecond';
    IF v_older IS NOT NULL THEN
        RAISE EXCEPTION 'nodes run that know less than migration %: %; replace them by the version before this one first',
            p_from, v_older USING ERRCODE = 'NX005';
    END IF;
    UPDATE host.schema_use SET known_from = greatest(known_from, p_from);
END
$$;

REVOKE ALL ON FUNCTION require_nodes FROM PUBLIC;
