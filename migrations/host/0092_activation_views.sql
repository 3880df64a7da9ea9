-- What an operator reads with psql of swaps: when what stood in for which file, who said so, and how far each node is.
CREATE VIEW host_view.activation AS
    SELECT sequence, component, encode(replaces, 'hex') AS replaces, encode(revision, 'hex') AS revision, below, activated_at
    FROM host.activation;

CREATE OR REPLACE VIEW host_view.audit AS
    SELECT id, said_at, operator, verb, invocation_id, entry_index, successor, reason, outcome,
        component, encode(revision, 'hex') AS revision
    FROM host.audit;

CREATE OR REPLACE VIEW host_view.node AS
    SELECT id, name,
        CASE WHEN gone_at IS NOT NULL THEN 'gone'
             WHEN heartbeat_at < clock_timestamp() - make_interval(secs => lease_ms / 1000.0) THEN 'expired'
             WHEN draining THEN 'draining'
             ELSE 'alive' END AS status,
        started_at, heartbeat_at, lease_ms, gone_at,
        activation, activation_error
    FROM host.node;
