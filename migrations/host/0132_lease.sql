-- Whether a node has given a sign of life as lately as it said it would: one that is not gone lives. Inlined into the statements that ask, so
-- it may have no search_path of its own; its body is bound when it is made.
CREATE FUNCTION holds_lease(p_node node) RETURNS boolean LANGUAGE sql VOLATILE
    RETURN p_node.heartbeat_at >= clock_timestamp() - p_node.lease_ms * interval '1 millisecond';

REVOKE ALL ON FUNCTION holds_lease FROM PUBLIC;
