-- What is done under the lock on activations, for which everybody waits who activates or starts. Each is one statement of its caller, whose commit
-- is the server's: a node that is frozen or cut off between two would keep the lock for as long as the server keeps its session. Nodes of the
-- version before do the same under the same locks, statement by statement.

-- Puts a revision in the place of a file, in one commit with what the audit log says of it. Returns its sequence; null: something else was
-- activated after `p_after`, on whose set it was checked.
CREATE FUNCTION activate(
    p_after bigint, p_component text, p_replaces bytea, p_revision bytea, p_below bigint,
    p_operator text, p_verb text, p_reason text, p_outcome text
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_sequence bigint;
BEGIN
    -- One at a time, so that the order of sequences is that of commits.
    LOCK TABLE host.activation IN SHARE ROW EXCLUSIVE MODE;
    IF (SELECT coalesce(max(sequence), 0) FROM host.activation) <> p_after THEN
        RETURN NULL;
    END IF;
    INSERT INTO host.activation (component, replaces, revision, below)
        VALUES (p_component, p_replaces, p_revision, p_below) RETURNING sequence INTO v_sequence;
    INSERT INTO host.audit (operator, verb, invocation_id, entry_index, component, revision, reason, outcome)
        VALUES (p_operator, p_verb, '00000000-0000-0000-0000-000000000000', 0, p_component, p_revision, p_reason, p_outcome);
    RETURN v_sequence;
END
$$;

-- Says up to where a node that starts has followed and what that comes to, unless something was activated meanwhile. Whether it was said.
CREATE FUNCTION acknowledge_first(p_node uuid, p_sequence bigint, p_deployment bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
BEGIN
    LOCK TABLE host.activation IN SHARE MODE;
    IF (SELECT coalesce(max(sequence), 0) FROM host.activation) <> p_sequence THEN
        RETURN false;
    END IF;
    UPDATE host.node SET activation = p_sequence, deployment = p_deployment, activation_error = NULL WHERE id = p_node;
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION activate, acknowledge_first FROM PUBLIC;
