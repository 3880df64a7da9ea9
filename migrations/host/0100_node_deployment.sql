-- What a node's new invocations run on: a migration of a module that takes something away asks who may still use it. None while it
-- starts, and none of a node that is older than this column.
ALTER TABLE node ADD COLUMN deployment bigint;

CREATE OR REPLACE VIEW host_view.node AS
    SELECT id, name,
        CASE WHEN gone_at IS NOT NULL THEN 'gone'
             WHEN heartbeat_at < clock_timestamp() - make_interval(secs => lease_ms / 1000.0) THEN 'expired'
             WHEN draining THEN 'draining'
             ELSE 'alive' END AS status,
        started_at, heartbeat_at, lease_ms, gone_at,
        activation, activation_error, deployment
    FROM host.node;
