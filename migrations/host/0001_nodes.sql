-- One row per running host. What is written on behalf of a node carries the node's token; only its hash is kept, so that
-- whoever reads this table can write nothing.
-- Leases compare with the database's clock (durability.md 2.5), the one clock that all nodes share.
CREATE TABLE node (
    id           uuid        NOT NULL,
    name         text        NOT NULL, -- of its data directory: a successor with the same name takes over at once
    token_hash   bytea       NOT NULL, -- sha256 of 32 random bytes
    lease_ms     integer     NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    draining     boolean     NOT NULL DEFAULT false,
    gone_at      timestamptz,          -- from here on it may write nothing
    CONSTRAINT node_pkey PRIMARY KEY (id),
    CONSTRAINT node_token_hash_is_sha256 CHECK (octet_length(token_hash) = 32),
    CONSTRAINT node_lease_positive CHECK (lease_ms > 0)
) WITH (fillfactor = 50); -- a heartbeat updates its row in place
