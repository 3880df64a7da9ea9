-- no-transaction
-- SELECT id FROM invocation WHERE component = $1 AND deployment = $2 AND node_id IS NULL AND due_at <= now() ORDER BY due_at: what waits to be
-- picked up of one component, pinned to one deployment. Which of them there are is found by it, too: a node steps from one to the next.
-- IF NOT EXISTS: that the file was applied is written down behind it, and a host may die between the two.
CREATE INDEX CONCURRENTLY IF NOT EXISTS invocation_lane ON host.invocation (component, deployment, due_at) WHERE due_at IS NOT NULL AND node_id IS NULL;
