-- What an operator reads with psql of the tables that had no view.

CREATE VIEW host_view.event AS
    SELECT number, id, topic, key, content_type, component, invocation_id, published_at, expires_at, octet_length(payload) AS size_bytes
    FROM host.event;

CREATE VIEW host_view.subscription AS
    SELECT id, component, name, patterns, blocks, created_at, retired_at FROM host.subscription;

CREATE VIEW host_view.subscription_node AS
    SELECT subscription, node_id FROM host.subscription_node;

-- What waits, runs or is dead, and for whom.
CREATE VIEW host_view.delivery AS
    SELECT subscription, subscription.component, subscription.name, key, event, state::text AS state, invocation_id, round
    FROM host.delivery LEFT JOIN host.subscription ON subscription.id = subscription;

CREATE VIEW host_view.lane_wakeup AS
    SELECT subscription, number, key FROM host.lane_wakeup;

-- A key may say as much as a value, so neither is shown.
CREATE VIEW host_view.key_value AS
    SELECT store, left(encode(sha256(convert_to(key, 'UTF8')), 'hex'), 16) AS key, mark, octet_length(value) AS size_bytes
    FROM host.key_value;

CREATE VIEW host_view.origin AS
    SELECT system_identifier, database_oid, timeline FROM host.origin;

CREATE VIEW host_view.restoration AS
    SELECT number, noticed_at, why, paused FROM host.restoration;

CREATE VIEW host_view.schema_use AS
    SELECT known_from FROM host.schema_use;

CREATE VIEW host_view.master_key AS
    SELECT left(encode(fingerprint, 'hex'), 16) AS fingerprint, left(encode(successor, 'hex'), 16) AS successor, created_at
    FROM host.master_key;

CREATE VIEW host_view.secret AS
    SELECT purpose, version, created_at, retired_at FROM host.secret;
