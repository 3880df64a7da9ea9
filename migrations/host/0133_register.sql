-- What a node says of itself when it starts, in each case one statement of its caller, whose commit is the server's: everybody else that starts
-- waits for the same locks, and a node that is frozen or cut off between two statements would keep them for as long as the server keeps its
-- session. Nodes of the version before do the same under the same locks, statement by statement.

-- Makes a node known, unless it may not use this schema (`known_from`), its master key is none of this database's (`knows_master`), or it needs
-- more connections than the server allows beside those that the other live nodes take: each as many as it said, one that did not say as many
-- as this one. Nodes of its name are its predecessors, and dead. Returns when it was registered by the database's clock, milliseconds since
-- 1970-01-01 UTC; null: it was not.
CREATE FUNCTION register_node(
    p_node uuid, p_name text, p_token_hash bytea, p_lease_ms integer, p_connections integer, p_knows integer, p_data_key integer,
    p_master_key bytea,
    OUT known_from integer, OUT knows_master boolean, OUT others bigint, OUT taken bigint, OUT allowed bigint, OUT predecessors uuid[],
    OUT registered_ms bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    -- Of two that start at once the second counts the first. Heartbeats do not wait for this lock.
    LOCK TABLE host.node IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT schema_use.known_from INTO known_from FROM host.schema_use;
    knows_master := EXISTS (SELECT FROM host.master_key WHERE fingerprint = p_master_key);
    SELECT count(*), coalesce(sum(coalesce(connections, p_connections)), 0) INTO others, taken
        FROM host.node WHERE gone_at IS NULL AND host.holds_lease(node) AND name <> p_name;
    allowed := least(
        current_setting('max_connections')::bigint
            - current_setting('superuser_reserved_connections')::bigint
            - coalesce(current_setting('reserved_connections', true)::bigint, 0),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()));
    predecessors := ARRAY(SELECT id FROM host.node WHERE name = p_name AND gone_at IS NULL ORDER BY id);
    IF known_from <= p_knows AND knows_master AND taken + p_connections <= allowed THEN
        INSERT INTO host.node (id, name, token_hash, lease_ms, connections, knows, data_key, master_key)
            VALUES (p_node, p_name, p_token_hash, p_lease_ms, p_connections, p_knows, p_data_key, p_master_key)
            RETURNING floor(extract(epoch FROM heartbeat_at) * 1000)::bigint INTO registered_ms;
    END IF;
END
$$;

-- Puts down what a node's manifest says. A subscription begins with what is published from here on; one that neither this nor any other live
-- node has is retired, and what waits for it waits for its return. Each pattern stands beside the place, from 1, of the subscription it is of.
-- Returns their ids, in order, and what was retired.
CREATE FUNCTION register_subscriptions(
    p_node uuid, p_components text[], p_names text[], p_blocks boolean[], p_patterns text[], p_pattern_places integer[],
    OUT ids integer[], OUT retired_components text[], OUT retired_names text[]
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    -- In one order, so that of two that start at once the second waits for the first.
    INSERT INTO host.subscription (component, name, patterns, blocks)
        SELECT component, name,
            ARRAY(SELECT pattern FROM unnest(p_patterns, p_pattern_places) WITH ORDINALITY AS written (pattern, place, number)
                WHERE written.place = said.place ORDER BY number),
            blocks
        FROM unnest(p_components, p_names, p_blocks) WITH ORDINALITY AS said (component, name, blocks, place)
        ORDER BY component, name
        ON CONFLICT (component, name) DO UPDATE SET patterns = excluded.patterns, blocks = excluded.blocks, retired_at = NULL;
    ids := ARRAY(SELECT id FROM unnest(p_components, p_names) WITH ORDINALITY AS said (component, name, place)
        JOIN host.subscription USING (component, name) ORDER BY place);

    DELETE FROM host.subscription_node
        WHERE node_id = p_node OR NOT EXISTS (SELECT FROM host.node WHERE id = node_id AND gone_at IS NULL);
    INSERT INTO host.subscription_node (subscription, node_id) SELECT unnest(ids), p_node;
    WITH retired AS (
        UPDATE host.subscription SET retired_at = now()
        WHERE retired_at IS NULL AND NOT EXISTS (SELECT FROM host.subscription_node WHERE subscription = id)
        RETURNING component, name
    ) SELECT coalesce(array_agg(component), '{}'), coalesce(array_agg(name), '{}') INTO retired_components, retired_names FROM retired;

    -- What a dead letter held up, and need not any more.
    INSERT INTO host.lane_wakeup (subscription, key)
        SELECT DISTINCT subscription, key FROM host.delivery JOIN host.subscription ON id = subscription
        WHERE state = 'dead' AND NOT blocks AND id = ANY (ids);
END
$$;

REVOKE ALL ON FUNCTION register_node, register_subscriptions FROM PUBLIC;
