-- What a module's transaction may do in this schema, and all it may do. The functions run with the rights of this schema's
-- owner and demand the token of a node that is not gone; it arrives as a bound parameter, so that no statement shows it.
-- Each function reads the node in the statement that it makes anyway, since every further one costs as much as an insert.
-- Names are qualified and the search path is fixed: nothing a caller creates is ever called from here.
--
-- Of two that want one index, one id or one key, the second fails with unique_violation and the name of the primary key. It is
-- found with ON CONFLICT and raised here, since a plain INSERT would name the index of a partition.
-- Under REPEATABLE READ a conflict with a row that the snapshot does not see is a serialization failure first; the repeated
-- transaction then gets unique_violation.

-- Raises unless the token is that of a node which is not gone.
CREATE FUNCTION check_node(p_node uuid, p_token bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_gone boolean;
BEGIN
    SELECT gone_at IS NOT NULL INTO v_gone FROM host.node WHERE id = p_node AND token_hash = sha256(p_token);
    IF v_gone IS NULL THEN
        RAISE EXCEPTION 'unknown node or wrong token' USING ERRCODE = 'NX001';
    ELSIF v_gone THEN
        RAISE EXCEPTION 'the node was declared gone' USING ERRCODE = 'NX002';
    END IF;
END
$$;

-- Appends entries to an invocation that has a row.
CREATE FUNCTION append(
    p_node uuid, p_token bytea, p_invocation uuid, p_first_index integer, p_bodies bytea[], p_status text
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    IF p_first_index < 1 THEN
        RAISE EXCEPTION 'the first append of an invocation starts it';
    END IF;
    -- A module's session must not be able to make a commit that outruns the disk.
    PERFORM set_config('synchronous_commit', 'on', true);

    INSERT INTO host.journal_entry (invocation_id, entry_index, body)
        SELECT p_invocation, p_first_index, p_bodies[1]
        FROM host.node WHERE id = p_node AND token_hash = sha256(p_token) AND gone_at IS NULL
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM host.check_node(p_node, p_token);
        RAISE EXCEPTION 'entry % exists', p_first_index
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'journal_entry_pkey';
    END IF;
    IF cardinality(p_bodies) > 1 THEN
        INSERT INTO host.journal_entry (invocation_id, entry_index, body)
            SELECT p_invocation, p_first_index + ordinality::integer, body
            FROM unnest(p_bodies[2:]) WITH ORDINALITY AS rest (body, ordinality);
    END IF;
    IF p_status IS NOT NULL THEN
        UPDATE host.invocation SET
            status = p_status::host.invocation_status,
            node_id = CASE p_status WHEN 'running' THEN node_id END,
            due_at = NULL,
            updated_at = now(),
            ended_at = CASE WHEN p_status IN ('completed', 'failed', 'cancelled') THEN now() END,
            -- The payloads of a sensitive route are erased when it ends.
            erasure_salt = CASE WHEN p_status NOT IN ('completed', 'failed', 'cancelled') THEN invocation.erasure_salt END
        WHERE id = p_invocation;
    END IF;
END
$$;

-- The first append of an invocation: its row, and its entries from index 0.
CREATE FUNCTION start(
    p_node uuid, p_token bytea, p_invocation uuid, p_bodies bytea[], p_component text, p_function text,
    p_deployment bigint, p_erasure_salt bytea, p_parent uuid, p_status text
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_final boolean := p_status IN ('completed', 'failed', 'cancelled');
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);

    INSERT INTO host.invocation
            (id, component, function, deployment, status, node_id, erasure_salt, parent, ended_at)
        SELECT p_invocation, p_component, p_function, p_deployment, p_status::host.invocation_status,
            CASE p_status WHEN 'running' THEN p_node END, CASE WHEN NOT v_final THEN p_erasure_salt END, p_parent, CASE WHEN v_final THEN now() END
        FROM host.node WHERE id = p_node AND token_hash = sha256(p_token) AND gone_at IS NULL
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM host.check_node(p_node, p_token);
        RAISE EXCEPTION 'the invocation exists' USING ERRCODE = 'unique_violation', CONSTRAINT = 'invocation_pkey';
    END IF;
    INSERT INTO host.journal_entry (invocation_id, entry_index, body)
        SELECT p_invocation, ordinality::integer - 1, body FROM unnest(p_bodies) WITH ORDINALITY AS entry (body, ordinality);
END
$$;

-- A message: a new invocation, to be picked up by any node once it is due.
CREATE FUNCTION send(
    p_node uuid, p_token bytea, p_invocation uuid, p_started bytea, p_component text, p_function text,
    p_deployment bigint, p_erasure_salt bytea, p_parent uuid, p_due_ms bigint
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);

    INSERT INTO host.invocation (id, component, function, deployment, status, erasure_salt, parent, due_at)
        SELECT p_invocation, p_component, p_function, p_deployment, 'running', p_erasure_salt, p_parent,
            to_timestamp(p_due_ms / 1000.0)
        FROM host.node WHERE id = p_node AND token_hash = sha256(p_token) AND gone_at IS NULL
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM host.check_node(p_node, p_token);
        RAISE EXCEPTION 'the message was sent' USING ERRCODE = 'unique_violation', CONSTRAINT = 'invocation_pkey';
    END IF;
    INSERT INTO host.journal_entry (invocation_id, entry_index, body) VALUES (p_invocation, 0, p_started);
END
$$;

-- Takes an idempotency key. Always the first statement of its transaction: claimed after business rows it would deadlock.
CREATE FUNCTION claim(
    p_node uuid, p_token bytea, p_key bytea, p_fingerprint bytea, p_invocation uuid, p_expires_ms bigint
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN

    INSERT INTO host.idempotency_key AS held (key, fingerprint, invocation_id, expires_at)
        SELECT p_key, p_fingerprint, p_invocation, to_timestamp(p_expires_ms / 1000.0)
        FROM host.node WHERE id = p_node AND token_hash = sha256(p_token) AND gone_at IS NULL
        ON CONFLICT (key) DO UPDATE SET
            fingerprint = excluded.fingerprint,
            invocation_id = excluded.invocation_id,
            created_at = now(),
            expires_at = excluded.expires_at
        WHERE held.expires_at <= now();
    IF NOT FOUND THEN
        PERFORM host.check_node(p_node, p_token);
        RAISE EXCEPTION 'the idempotency key is taken'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'idempotency_key_pkey';
    END IF;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA host FROM PUBLIC;
-- For functions to come: PostgreSQL gives EXECUTE to everybody unless told otherwise, and only globally.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
