-- When deployments and bytes were last known to be in use, so that what nobody uses can be forgotten. Nodes of the version before do not say
-- that they use one again; what they run on is seen at their rows.
ALTER TABLE deployment ADD COLUMN used_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE revision ADD COLUMN used_at timestamptz NOT NULL DEFAULT now();

CREATE OR REPLACE VIEW host_view.deployment AS
    SELECT number, created_at, used_at FROM host.deployment;

CREATE OR REPLACE VIEW host_view.revision AS
    SELECT encode(digest, 'hex') AS digest, octet_length(wasm) AS size_bytes, created_at, used_at FROM host.revision;

-- Forgets deployments on which no node's new invocations run and to which no open invocation is pinned, activations that stand for nothing any
-- more (with so many steps back from those that do), and the bytes that only they had. Returns how many there were. One statement of its
-- caller: whoever starts waits for the lock, and a node that is frozen in between would keep it.
CREATE FUNCTION forget_unused(p_unused_ms bigint, p_back integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_before timestamptz := now() - p_unused_ms * interval '1 millisecond';
    v_count bigint;
    v_forgotten bigint := 0;
BEGIN
    -- As whoever activates: what they are about to stand on stays.
    LOCK TABLE host.activation IN SHARE ROW EXCLUSIVE MODE;
    UPDATE host.deployment SET used_at = now() WHERE number IN (
        SELECT deployment FROM host.node WHERE gone_at IS NULL
        UNION SELECT deployment FROM host.invocation WHERE status IN ('running', 'suspended', 'paused'));

    -- A node that starts, and one that is older than the column, does not say what it runs on.
    DELETE FROM host.deployment WHERE used_at < v_before
        AND NOT EXISTS (SELECT FROM host.node WHERE gone_at IS NULL AND deployment IS NULL);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_forgotten := v_forgotten + v_count;

    -- What stands for a file that somebody runs, or would run without it, with what rollbacks go back to. The newest of all stays, since every
    -- node knows how far it has followed by its number.
    WITH RECURSIVE newest AS (
        SELECT DISTINCT ON (component, replaces) sequence, component, replaces, revision, below
        FROM host.activation ORDER BY component, replaces, sequence DESC
    ), standing AS (
        SELECT sequence, below, 0 AS back FROM newest WHERE EXISTS (SELECT FROM host.deployment_component AS member
            WHERE member.component = newest.component AND member.revision IN (newest.revision, newest.replaces))
        UNION ALL
        SELECT activation.sequence, activation.below, back + 1
        FROM standing JOIN host.activation ON activation.sequence = standing.below WHERE back < p_back
    ), past AS (
        SELECT sequence FROM host.activation WHERE activated_at < v_before
            AND sequence NOT IN (SELECT sequence FROM standing)
            AND sequence < (SELECT max(sequence) FROM host.activation)
    ), cut AS (
        UPDATE host.activation SET below = NULL
        WHERE below IN (SELECT sequence FROM past) AND sequence NOT IN (SELECT sequence FROM past)
    )
    DELETE FROM host.activation WHERE sequence IN (SELECT sequence FROM past);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_forgotten := v_forgotten + v_count;

    DELETE FROM host.revision WHERE used_at < v_before
        AND NOT EXISTS (SELECT FROM host.deployment_component WHERE revision = digest)
        AND NOT EXISTS (SELECT FROM host.activation WHERE digest IN (revision, replaces));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_forgotten + v_count;
END
$$;

REVOKE ALL ON FUNCTION forget_unused FROM PUBLIC;
