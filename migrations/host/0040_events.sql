-- Events: what was published, who subscribes, and what is still to be delivered. The journal is the broker: an event is written in its
-- publisher's own append, with one delivery for each subscription that there is at that moment.

-- One row per event, kept for as long as its publisher's manifest says.
--
-- Numbers are drawn under a lock on the key, held until the commit: of one key they are in the order of the commits, and whoever sees
-- one sees all smaller ones that there will ever be. Of different keys they are not: there a smaller number may come to be seen later
-- (durability.md 3.5), and whoever reads across keys goes by `xid`.
CREATE TABLE event (
    number        bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    id            uuid        NOT NULL, -- derived from the publisher's position: what is published again is the same
    xid           xid8        NOT NULL DEFAULT pg_current_xact_id(),
    topic         text        NOT NULL COLLATE "C",
    key           text        NOT NULL COLLATE "C",
    content_type  text        NOT NULL,
    payload       bytea       NOT NULL, -- sealed under the event's id
    component     text        NOT NULL, -- that published it
    invocation_id uuid        NOT NULL, -- in which it did
    published_at  timestamptz NOT NULL, -- by the publisher's clock
    expires_at    timestamptz NOT NULL,
    CONSTRAINT event_pkey PRIMARY KEY (number),
    CONSTRAINT event_id_key UNIQUE (id)
);

-- What is encrypted does not compress.
ALTER TABLE event ALTER COLUMN payload SET STORAGE EXTERNAL;

-- SELECT … WHERE key = $1 AND number > $2 ORDER BY number: what a stream of a key goes on with.
CREATE INDEX event_key ON event (key, number);

-- SELECT key, topic … WHERE xid >= $1: which keys have something new.
CREATE INDEX event_xid ON event (xid);

-- DELETE … WHERE expires_at <= now().
CREATE INDEX event_expiry ON event (expires_at);

-- What the manifests of the nodes say, by component and name. One that no node's manifest has any more is retired: nothing is written for
-- it, and what waits for it waits for its return.
CREATE TABLE subscription (
    id         integer     NOT NULL GENERATED ALWAYS AS IDENTITY,
    component  text        NOT NULL,
    name       text        NOT NULL,
    patterns   text[]      NOT NULL, -- topics; one that ends in an asterisk stands for all that begin like it
    blocks     boolean     NOT NULL, -- a dead letter holds up what follows of its key
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    CONSTRAINT subscription_pkey PRIMARY KEY (id),
    CONSTRAINT subscription_name_key UNIQUE (component, name)
);

-- Which nodes serve a subscription. While one that is not gone does, no other node's manifest retires it.
CREATE TABLE subscription_node (
    subscription integer NOT NULL,
    node_id      uuid    NOT NULL,
    CONSTRAINT subscription_node_pkey PRIMARY KEY (subscription, node_id)
);

CREATE TYPE delivery_state AS ENUM ('waiting', 'running', 'dead');

-- What is still to be delivered; a row goes when its invocation has ended. All deliveries of one subscription and key are a lane, whose
-- first one alone may be begun.
CREATE TABLE delivery (
    subscription  integer        NOT NULL,
    key           text           NOT NULL COLLATE "C",
    event         bigint         NOT NULL,
    state         delivery_state NOT NULL DEFAULT 'waiting',
    invocation_id uuid,                    -- that delivers it
    round         integer        NOT NULL DEFAULT 0, -- how often an operator had it begun anew
    CONSTRAINT delivery_pkey PRIMARY KEY (subscription, key, event),
    CONSTRAINT delivery_is_begun_or_waiting CHECK ((state = 'waiting') = (invocation_id IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- … WHERE invocation_id = $1: what an invocation's end is the end of. And the list of dead letters.
CREATE UNIQUE INDEX delivery_invocation ON delivery (invocation_id) WHERE invocation_id IS NOT NULL;

-- An event is kept while a delivery names it.
CREATE INDEX delivery_event ON delivery (event);

-- Lanes to look at, written with whatever may have made their first delivery one that can be begun. Rows of their own, since a publisher
-- must not wait for whoever delivers, nor for another publisher's lane.
CREATE TABLE lane_wakeup (
    number       bigint  NOT NULL GENERATED ALWAYS AS IDENTITY,
    subscription integer NOT NULL,
    key          text    NOT NULL COLLATE "C",
    CONSTRAINT lane_wakeup_pkey PRIMARY KEY (subscription, number)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Publishes. Stands behind the append it belongs to, in the same transaction and right before its commit, since others that publish under
-- the key wait for that.
CREATE FUNCTION publish(
    p_node uuid, p_token bytea, p_invocation uuid, p_event uuid, p_topic text, p_key text, p_content_type text, p_payload bytea,
    p_component text, p_published_ms bigint, p_expires_ms bigint
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    -- "event", so that this lock is none of anybody else's.
    c_locks CONSTANT bigint := 435711010420;
    v_number bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM pg_advisory_xact_lock(hashtextextended(p_key, c_locks));

    INSERT INTO host.event
            (id, topic, key, content_type, payload, component, invocation_id, published_at, expires_at)
        SELECT p_event, p_topic, p_key, p_content_type, p_payload, p_component, p_invocation,
            to_timestamp(p_published_ms / 1000.0), to_timestamp(p_expires_ms / 1000.0)
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

-- Begins deliveries, each as an invocation of this node: its row and its first entry. One that another node has begun meanwhile is left
-- out. Gives the invocations that were begun.
CREATE FUNCTION begin_deliveries(
    p_node uuid, p_token bytea, p_subscriptions integer[], p_keys text[], p_events bigint[], p_invocations uuid[], p_bodies bytea[],
    p_components text[], p_functions text[], p_deployments bigint[], p_parents uuid[]
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_begun uuid[];
BEGIN
    PERFORM host.check_node(p_node, p_token);
    PERFORM set_config('synchronous_commit', 'on', true);

    -- Whoever holds one of them begins it, or is about to end it: either way its lane is looked at again.
    WITH free AS (
        SELECT subscription, key, event, invocation FROM host.delivery
            JOIN unnest(p_subscriptions, p_keys, p_events, p_invocations) AS wanted (subscription, key, event, invocation)
                USING (subscription, key, event)
            WHERE state = 'waiting' FOR UPDATE OF delivery SKIP LOCKED
    ), begun AS (
        UPDATE host.delivery SET state = 'running', invocation_id = free.invocation
        FROM free
        WHERE delivery.subscription = free.subscription AND delivery.key = free.key AND delivery.event = free.event
        RETURNING invocation_id
    ) SELECT coalesce(array_agg(invocation_id), '{}') INTO v_begun FROM begun;

    INSERT INTO host.invocation (id, component, function, deployment, status, node_id, parent)
        SELECT invocation, component, function, deployment, 'running', p_node, parent
        FROM unnest(p_invocations, p_components, p_functions, p_deployments, p_parents)
            AS beginning (invocation, component, function, deployment, parent)
        WHERE invocation = ANY (v_begun)
        ORDER BY invocation;
    INSERT INTO host.journal_entry (invocation_id, entry_index, body)
        SELECT invocation, 0, body FROM unnest(p_invocations, p_bodies) AS beginning (invocation, body)
        WHERE invocation = ANY (v_begun)
        ORDER BY invocation;
    RETURN QUERY SELECT unnest(v_begun);
END
$$;

-- A delivery follows its invocation, in the commit that changes it: it is over when that has ended, and a dead letter while that is
-- paused. Either way its lane is looked at.
CREATE FUNCTION follow_delivery() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_subscription integer;
    v_key text;
BEGIN
    IF NEW.status IN ('completed', 'failed', 'cancelled') THEN
        DELETE FROM host.delivery WHERE invocation_id = NEW.id RETURNING subscription, key INTO v_subscription, v_key;
    ELSE
        UPDATE host.delivery
            SET state = CASE NEW.status WHEN 'paused' THEN 'dead' ELSE 'running' END::host.delivery_state
            WHERE invocation_id = NEW.id
            RETURNING subscription, key INTO v_subscription, v_key;
    END IF;
    IF FOUND AND NEW.status IN ('paused', 'completed', 'failed', 'cancelled') THEN
        INSERT INTO host.lane_wakeup (subscription, key) VALUES (v_subscription, v_key);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER invocation_delivery AFTER UPDATE OF status ON invocation FOR EACH ROW
    WHEN (NEW.function = 'nexus:events/subscriber.handle' AND NEW.status <> OLD.status)
    EXECUTE FUNCTION follow_delivery();

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA host FROM PUBLIC;
