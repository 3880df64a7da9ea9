-- What an event's deliveries belong to: the trace of its publication.
--
-- A W3C `traceparent`; empty: it has none, or a node of the version before published it.
ALTER TABLE event ADD COLUMN trace_parent text NOT NULL DEFAULT '';

CREATE OR REPLACE VIEW host_view.event AS
    SELECT number, id, topic, key, content_type, component, invocation_id, published_at, expires_at, octet_length(payload) AS size_bytes, trace_parent
    FROM host.event;

-- As `publish` in 0040, with a trace. A function of another name: a node of the version before grants `publish` by its name alone.
CREATE FUNCTION publish_traced(
    p_node uuid, p_token bytea, p_invocation uuid, p_event uuid, p_topic text, p_key text, p_content_type text, p_payload bytea,
    p_component text, p_published_ms bigint, p_expires_ms bigint, p_trace_parent text
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    -- "event", so that this lock is none of anybody else's.
    c_locks CONSTANT bigint := 435711010420;
    v_number bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM pg_advisory_xact_lock(hashtextextended(p_key, c_locks));

    INSERT INTO host.event
            (id, topic, key, content_type, payload, component, invocation_id, published_at, expires_at, trace_parent)
        SELECT p_event, p_topic, p_key, p_content_type, p_payload, p_component, p_invocation,
            to_timestamp(p_published_ms / 1000.0), to_timestamp(p_expires_ms / 1000.0), p_trace_parent
        FROM host.node WHERE id = p_node AND token_hash = sha256(p_token) AND gone_at IS NULL
        RETURNING number INTO v_number;
    IF NOT FOUND THEN
        PERFORM host.check_node(p_node, p_token);
    END IF;

    WITH delivering AS (
        INSERT INTO host.delivery (subscription, key, event)
            SELECT id, p_key, v_number FROM host.subscription
            WHERE retired_at IS NULL AND EXISTS (SELECT FROM unnest(patterns) AS pattern
                WHERE p_topic = pattern OR (right(pattern, 1) = '*' AND starts_with(p_topic, left(pattern, -1))))
            RETURNING subscription
    ) INSERT INTO host.lane_wakeup (subscription, key) SELECT subscription, p_key FROM delivering;
END
$$;

REVOKE ALL ON FUNCTION publish_traced FROM PUBLIC;
