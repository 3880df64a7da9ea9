-- How many requests there were of each bucket in its window: what all nodes count together.
--
-- Unlogged: a count is a wait for no disk, and what a crash of the server loses is that windows begin anew. Every count changes its row,
-- so pages have room for the next versions of what is on them.
CREATE UNLOGGED TABLE rate_count (
    bucket   bytea       NOT NULL, -- keyed digest of the limit and of whom it counts: no account, no address
    requests bigint      NOT NULL,
    ends_at  timestamptz NOT NULL, -- by this clock, for all nodes
    CONSTRAINT rate_count_pkey PRIMARY KEY (bucket),
    CONSTRAINT rate_count_bucket_is_a_digest CHECK (octet_length(bucket) = 32),
    CONSTRAINT rate_count_counts CHECK (requests > 0)
) WITH (fillfactor = 60);

-- SELECT bucket FROM rate_count WHERE ends_at <= now() LIMIT $1: what the upkeep forgets.
CREATE INDEX rate_count_end ON rate_count (ends_at);

CREATE VIEW host_view.rate_count AS
    SELECT left(encode(bucket, 'hex'), 16) AS bucket, requests, ends_at FROM host.rate_count;
