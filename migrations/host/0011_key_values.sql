-- Pairs of the key-value stores that components are granted by name. Logged like everything here: what a guest was told is
-- written is still there after a crash. Values are in clear, as the rows of a module's own schema are: unlike a journal's payloads
-- they must outlive every data key.
CREATE TABLE key_value (
    store text   NOT NULL, -- the grant's label; components with the same label share the store
    key   text   NOT NULL COLLATE "C",
    mark  bigint NOT NULL GENERATED ALWAYS AS IDENTITY, -- given when the key comes, kept while it stays: where a page ends
    value bytea  NOT NULL,
    CONSTRAINT key_value_pkey PRIMARY KEY (store, key),
    CONSTRAINT key_value_key_is_bounded CHECK (octet_length(key) BETWEEN 1 AND 255),
    CONSTRAINT key_value_value_is_bounded CHECK (octet_length(value) <= 262144)
);

-- SELECT key, mark FROM key_value WHERE store = $1 AND mark > $2 ORDER BY mark LIMIT $3: a page of keys.
CREATE UNIQUE INDEX key_value_page ON key_value (store, mark);

-- Both demand the token of a node that is not gone, as every write of the journal does: a node that was taken over from while it
-- was frozen has no effect here. What it had begun before ends with its connections, which end before its invocations go on.

-- Puts a value under a key, in place of an earlier one.
CREATE FUNCTION set_key_value(p_node uuid, p_token bytea, p_store text, p_key text, p_value bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM host.check_node(p_node, p_token);
    INSERT INTO host.key_value AS held (store, key, value) VALUES (p_store, p_key, p_value)
        ON CONFLICT (store, key) DO UPDATE SET value = excluded.value;
END
$$;

-- Removes a key, if it is there.
CREATE FUNCTION delete_key_value(p_node uuid, p_token bytea, p_store text, p_key text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM host.check_node(p_node, p_token);
    DELETE FROM host.key_value WHERE store = p_store AND key = p_key;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA host FROM PUBLIC;
