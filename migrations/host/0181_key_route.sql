-- no-transaction
-- SELECT FROM idempotency_key WHERE route_key = ANY ($1): whom an operator finds by a client's key, whatever the path.
-- IF NOT EXISTS: that the file was applied is written down behind it, and a host may die between the two.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idempotency_key_route ON host.idempotency_key (route_key) WHERE route_key IS NOT NULL;
