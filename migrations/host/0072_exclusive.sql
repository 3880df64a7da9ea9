-- Functions that run one at a time for each key: who holds a key, and who waits for it, in order.
--
-- All that changes a key's queue does so under the key's lock, an advisory one of the transaction: the statements that take and give up
-- places stand in appends of the host's own, which are short.

-- A place in a key's queue; the first that is not refused holds the key. It is the whole invocation's.
CREATE TABLE exclusive_place (
    key           uuid        NOT NULL, -- digest of the component, the function and the value
    invocation_id uuid        NOT NULL,
    number        bigint      NOT NULL GENERATED ALWAYS AS IDENTITY, -- given out under the key's lock: their order is that of arrival
    component     text        NOT NULL,
    function      text        NOT NULL,
    refused       boolean     NOT NULL DEFAULT false, -- the wait would have closed a cycle
    taken_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT exclusive_place_pkey PRIMARY KEY (key, invocation_id)
);

-- SELECT … WHERE key = $1 AND number < $2: who stands before.
CREATE INDEX exclusive_place_queue ON exclusive_place (key, number);

-- SELECT … WHERE invocation_id = $1: what an invocation holds and waits for.
CREATE INDEX exclusive_place_invocation ON exclusive_place (invocation_id);

-- Until the end of the transaction nobody else changes this key's queue.
CREATE FUNCTION lock_key(p_key uuid) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT pg_advisory_xact_lock(1852139639, hashtext(p_key::text))
$$;

-- Whether others stand before the invocation in this key's queue.
CREATE FUNCTION waits_for_key(p_key uuid, p_invocation uuid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, host, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM host.exclusive_place AS mine
        JOIN host.exclusive_place AS before ON before.key = mine.key AND before.number < mine.number
        WHERE mine.key = p_key AND mine.invocation_id = p_invocation AND NOT mine.refused AND NOT before.refused)
$$;

-- Takes a place, at the end of the queue; one that the invocation has stays where it is. A place whose wait would close a cycle is
-- refused: nobody is in its way, and its owner is told.
CREATE FUNCTION take_place(p_node uuid, p_token bytea, p_invocation uuid, p_key uuid, p_component text, p_function text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    PERFORM host.check_node(p_node, p_token);
    PERFORM host.lock_key(p_key);
    INSERT INTO host.exclusive_place AS place (key, invocation_id, component, function)
        VALUES (p_key, p_invocation, p_component, p_function)
        ON CONFLICT (key, invocation_id) DO UPDATE SET refused = false, number = DEFAULT WHERE place.refused;
    IF host.waits_for_key(p_key, p_invocation) THEN
        -- One that waits after another, so that of two whose waits close a cycle together the second sees it.
        PERFORM pg_advisory_xact_lock(1852139640, 0);
        UPDATE host.exclusive_place SET refused = true
            WHERE key = p_key AND invocation_id = p_invocation AND p_invocation IN (
                WITH RECURSIVE awaited (invocation_id) AS (
                    SELECT before.invocation_id
                    FROM host.exclusive_place AS mine
                    JOIN host.exclusive_place AS before ON before.key = mine.key AND before.number < mine.number
                    WHERE mine.invocation_id = p_invocation AND NOT mine.refused AND NOT before.refused
                    UNION
                    SELECT before.invocation_id
                    FROM awaited
                    JOIN host.exclusive_place AS theirs ON theirs.invocation_id = awaited.invocation_id
                    JOIN host.exclusive_place AS before ON before.key = theirs.key AND before.number < theirs.number
                    WHERE NOT theirs.refused AND NOT before.refused
                ) SELECT invocation_id FROM awaited);
    END IF;
END
$$;

-- Gives up the invocation's places for these keys, or all it has, and wakes those who stand first then.
CREATE FUNCTION give_up_places(p_node uuid, p_token bytea, p_invocation uuid, p_keys uuid[], p_all boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_key uuid;
BEGIN
    PERFORM host.check_node(p_node, p_token);
    FOR v_key IN
        SELECT key FROM host.exclusive_place
        WHERE invocation_id = p_invocation AND (p_all OR key = ANY (p_keys)) ORDER BY key
    LOOP
        PERFORM host.lock_key(v_key);
        DELETE FROM host.exclusive_place WHERE key = v_key AND invocation_id = p_invocation;
        INSERT INTO host.wakeup (invocation_id)
            SELECT invocation_id FROM host.exclusive_place WHERE key = v_key AND NOT refused ORDER BY number LIMIT 1;
    END LOOP;
END
$$;

-- Behind `suspend`, in the same transaction, for one that waits for keys: if the key was given up meanwhile it is woken at once. Against
-- one that gives it up at the same moment the lock lets only one of the two be first.
CREATE FUNCTION suspend_for_keys(p_node uuid, p_token bytea, p_invocation uuid, p_keys uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_key uuid;
BEGIN
    PERFORM host.check_node(p_node, p_token);
    FOR v_key IN SELECT key FROM unnest(p_keys) AS key ORDER BY key LOOP
        PERFORM host.lock_key(v_key);
        IF NOT host.waits_for_key(v_key, p_invocation) THEN
            UPDATE host.invocation SET due_at = now() WHERE id = p_invocation AND status = 'suspended';
        END IF;
    END LOOP;
END
$$;

-- For operators: who holds a key is the first of its queue.
CREATE VIEW host_view.exclusive_place AS
    SELECT key, number, invocation_id, component, function, refused, taken_at,
        NOT refused AND number = min(number) FILTER (WHERE NOT refused) OVER (PARTITION BY key) AS holds
    FROM host.exclusive_place;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA host FROM PUBLIC;
