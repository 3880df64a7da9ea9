-- `append_batch` and `fence_batch` as before, but for how they find the rows that they change: by id. Joined to an array, a table that was
-- all but empty when its statement was planned stays the outer side of the join, read whole for each batch and against each of its members,
-- until the table is analysed again: with 2,000 invocations a batch of 80 took 65 ms, a hundred times of what the rest of it takes.
CREATE OR REPLACE FUNCTION append_batch(
    p_node uuid, p_token bytea, p_durable boolean,
    p_invocations uuid[], p_first_indexes integer[], p_first_bodies bytea[], p_statuses text[],
    p_rest_invocations uuid[], p_rest_indexes integer[], p_rest_bodies bytea[],
    p_start_invocations uuid[], p_start_components text[], p_start_functions text[], p_start_deployments bigint[],
    p_start_salts bytea[], p_start_parents uuid[], p_start_statuses text[],
    p_claim_invocations uuid[], p_claim_keys bytea[], p_claim_fingerprints bytea[], p_claim_expires_ms bigint[],
    p_message_senders uuid[], p_message_invocations uuid[], p_message_bodies bytea[], p_message_components text[],
    p_message_functions text[], p_message_deployments bigint[], p_message_salts bytea[], p_message_parents uuid[],
    p_message_due_ms bigint[]
) RETURNS TABLE (lost uuid, key_taken boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_won uuid[];
    v_taken uuid[] := '{}';
    v_lost uuid[] := '{}'; -- v_taken among them
    v_started uuid[] := '{}';
    v_status text;
    v_changed uuid[];
BEGIN
    PERFORM host.check_node(p_node, p_token);
    -- A batch nobody waits for need not wait for the disk; later commits write it out before themselves.
    PERFORM set_config('synchronous_commit', CASE WHEN p_durable THEN 'on' ELSE 'off' END, true);

    IF cardinality(p_claim_keys) > 0 THEN
        WITH won AS (
            INSERT INTO host.idempotency_key AS held (key, fingerprint, invocation_id, expires_at)
            SELECT key, fingerprint, invocation, to_timestamp(expires_ms / 1000.0)
            FROM unnest(p_claim_keys, p_claim_fingerprints, p_claim_invocations, p_claim_expires_ms)
                AS claim (key, fingerprint, invocation, expires_ms)
            ORDER BY key
            ON CONFLICT (key) DO UPDATE SET
                fingerprint = excluded.fingerprint,
                invocation_id = excluded.invocation_id,
                created_at = now(),
                expires_at = excluded.expires_at
            WHERE held.expires_at <= now()
            RETURNING invocation_id
        ) SELECT coalesce(array_agg(invocation_id), '{}') INTO v_won FROM won;
        SELECT coalesce(array_agg(claimed), '{}') INTO v_taken
            FROM unnest(p_claim_invocations) AS claimed WHERE claimed <> ALL (v_won);
        v_lost := v_taken;
    END IF;

    IF cardinality(p_start_invocations) > 0 THEN
        WITH won AS (
            INSERT INTO host.invocation
                (id, component, function, deployment, status, node_id, erasure_salt, parent, ended_at)
            SELECT invocation, component, function, deployment, status::host.invocation_status, CASE status WHEN 'running' THEN p_node END,
                CASE WHEN status NOT IN ('completed', 'failed', 'cancelled') THEN salt END, parent,
                CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN now() END
            FROM unnest(p_start_invocations, p_start_components, p_start_functions, p_start_deployments, p_start_salts,
                p_start_parents, p_start_statuses)
                AS starting (invocation, component, function, deployment, salt, parent, status)
            WHERE invocation <> ALL (v_lost)
            ORDER BY invocation
            ON CONFLICT DO NOTHING
            RETURNING id
        ) SELECT coalesce(array_agg(id), '{}') INTO v_started FROM won;
        IF cardinality(v_started) < cardinality(p_start_invocations) THEN
            SELECT v_lost || coalesce(array_agg(starting), '{}') INTO v_lost
                FROM unnest(p_start_invocations) AS starting WHERE starting <> ALL (v_started) AND starting <> ALL (v_lost);
        END IF;
    END IF;

    WITH won AS (
        INSERT INTO host.journal_entry (invocation_id, entry_index, body)
        SELECT invocation, first_index, body
        FROM unnest(p_invocations, p_first_indexes, p_first_bodies) AS appending (invocation, first_index, body)
        WHERE invocation <> ALL (v_lost)
        ORDER BY invocation
        ON CONFLICT DO NOTHING
        RETURNING invocation_id
    ) SELECT coalesce(array_agg(invocation_id), '{}') INTO v_won FROM won;
    IF cardinality(v_won) < cardinality(p_invocations) THEN
        SELECT coalesce(array_agg(appending), '{}') INTO v_lost
            FROM unnest(p_invocations) AS appending WHERE appending <> ALL (v_won);
        -- The key or the row of a loser is written by now, and would stay.
        IF EXISTS (SELECT FROM unnest(v_lost) AS loser
                WHERE loser = ANY (v_started) OR (loser = ANY (p_claim_invocations) AND loser <> ALL (v_taken))) THEN
            RAISE EXCEPTION 'a fenced append took a key or an id' USING ERRCODE = 'NX004';
        END IF;
    END IF;

    IF cardinality(p_rest_invocations) > 0 THEN
        INSERT INTO host.journal_entry (invocation_id, entry_index, body)
            SELECT invocation, entry_index, body
            FROM unnest(p_rest_invocations, p_rest_indexes, p_rest_bodies) AS rest (invocation, entry_index, body)
            WHERE invocation <> ALL (v_lost)
            ORDER BY invocation, entry_index;
    END IF;
    FOR v_status, v_changed IN
        SELECT status, array_agg(invocation) FROM unnest(p_invocations, p_statuses) AS changed (invocation, status)
        WHERE status IS NOT NULL AND invocation <> ALL (v_lost)
        GROUP BY status
    LOOP
        UPDATE host.invocation SET
            status = v_status::host.invocation_status,
            node_id = CASE v_status WHEN 'running' THEN node_id END,
            due_at = NULL,
            updated_at = now(),
            ended_at = CASE WHEN v_status IN ('completed', 'failed', 'cancelled') THEN now() END,
            -- The payloads of a sensitive route are erased when it ends.
            erasure_salt = CASE WHEN v_status NOT IN ('completed', 'failed', 'cancelled') THEN erasure_salt END
        WHERE id = ANY (v_changed);
    END LOOP;

    IF cardinality(p_message_senders) > 0 THEN
        INSERT INTO host.invocation (id, component, function, deployment, status, erasure_salt, parent, due_at)
            SELECT invocation, component, function, deployment, 'running', salt, parent, to_timestamp(due_ms / 1000.0)
            FROM unnest(p_message_senders, p_message_invocations, p_message_components, p_message_functions,
                p_message_deployments, p_message_salts, p_message_parents, p_message_due_ms)
                AS message (sender, invocation, component, function, deployment, salt, parent, due_ms)
            WHERE sender <> ALL (v_lost)
            ORDER BY invocation;
        INSERT INTO host.journal_entry (invocation_id, entry_index, body)
            SELECT invocation, 0, body
            FROM unnest(p_message_senders, p_message_invocations, p_message_bodies) AS message (sender, invocation, body)
            WHERE sender <> ALL (v_lost)
            ORDER BY invocation;
    END IF;

    RETURN QUERY SELECT loser, loser = ANY (v_taken) FROM unnest(v_lost) AS loser;
END
$$;

CREATE OR REPLACE FUNCTION fence_batch(
    p_node uuid, p_token bytea,
    p_invocations uuid[], p_first_indexes integer[], p_first_bodies bytea[],
    p_statuses text[], p_owners uuid[], p_attempts integer[], p_failures integer[], p_due_ms bigint[], p_causes text[],
    p_rest_invocations uuid[], p_rest_indexes integer[], p_rest_bodies bytea[],
    p_start_invocations uuid[], p_start_components text[], p_start_functions text[], p_start_deployments bigint[],
    p_start_salts bytea[], p_start_parents uuid[]
) RETURNS TABLE (lost uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_won uuid[];
    v_lost uuid[] := '{}';
    v_updated bigint := 0;
    v_fence record;
BEGIN
    PERFORM host.check_node(p_node, p_token);
    PERFORM set_config('synchronous_commit', 'on', true);

    IF cardinality(p_start_invocations) > 0 THEN
        WITH won AS (
            INSERT INTO host.invocation (id, component, function, deployment, status, node_id, erasure_salt, parent)
            SELECT invocation, component, function, deployment, 'running', p_node, salt, parent
            FROM unnest(p_start_invocations, p_start_components, p_start_functions, p_start_deployments, p_start_salts,
                p_start_parents) AS starting (invocation, component, function, deployment, salt, parent)
            ORDER BY invocation
            ON CONFLICT DO NOTHING
            RETURNING id
        ) SELECT coalesce(array_agg(id), '{}') INTO v_won FROM won;
        SELECT coalesce(array_agg(starting), '{}') INTO v_lost
            FROM unnest(p_start_invocations) AS starting WHERE starting <> ALL (v_won);
    END IF;

    WITH won AS (
        INSERT INTO host.journal_entry (invocation_id, entry_index, body)
        SELECT invocation, first_index, body
        FROM unnest(p_invocations, p_first_indexes, p_first_bodies) AS fence (invocation, first_index, body)
        WHERE invocation <> ALL (v_lost)
        ORDER BY invocation
        ON CONFLICT DO NOTHING
        RETURNING invocation_id
    ) SELECT coalesce(array_agg(invocation_id), '{}') INTO v_won FROM won;
    IF cardinality(p_rest_invocations) > 0 THEN
        INSERT INTO host.journal_entry (invocation_id, entry_index, body)
            SELECT invocation, entry_index, body
            FROM unnest(p_rest_invocations, p_rest_indexes, p_rest_bodies) AS rest (invocation, entry_index, body)
            WHERE invocation = ANY (v_won)
            ORDER BY invocation, entry_index;
    END IF;

    FOR v_fence IN
        SELECT * FROM unnest(p_invocations, p_statuses, p_owners, p_attempts, p_failures, p_due_ms, p_causes)
            AS fence (invocation, status, owner, attempt, failures, due_ms, cause)
        WHERE invocation = ANY (v_won)
        ORDER BY invocation
    LOOP
        UPDATE host.invocation SET
            status = v_fence.status::host.invocation_status,
            node_id = v_fence.owner,
            attempt = v_fence.attempt,
            failures = v_fence.failures,
            due_at = CASE
                WHEN v_fence.due_ms IS NOT NULL THEN to_timestamp(v_fence.due_ms / 1000.0)
                WHEN v_fence.status = 'running' AND v_fence.owner IS NULL THEN now()
            END,
            cause = v_fence.cause,
            updated_at = now(),
            ended_at = CASE WHEN v_fence.status IN ('failed', 'cancelled', 'completed') THEN now() END,
            -- The payloads of a sensitive route are erased when it ends.
            erasure_salt = CASE WHEN v_fence.status NOT IN ('failed', 'cancelled', 'completed') THEN erasure_salt END
        WHERE id = v_fence.invocation AND status NOT IN ('completed', 'failed', 'cancelled');
        IF FOUND THEN
            v_updated := v_updated + 1;
        END IF;
    END LOOP;
    IF v_updated < cardinality(v_won) THEN
        -- One of them has ended, or has no row: its fence must not stay.
        RAISE EXCEPTION 'a fenced invocation is not open' USING ERRCODE = 'NX004';
    END IF;

    RETURN QUERY SELECT fenced FROM unnest(p_invocations) AS fenced WHERE fenced <> ALL (v_won);
END
$$;
