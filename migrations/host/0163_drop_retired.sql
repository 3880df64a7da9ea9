-- Gives up what waits for the return of a retired subscription, in one commit with what the audit log says of it. Returns how many events that
-- were; 0 also when the subscription is not retired, or was never there. Whoever has it in its manifest again waits for this, or this for that.
CREATE FUNCTION drop_retired(p_component text, p_name text, p_operator text, p_reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_subscription integer;
    v_count bigint;
BEGIN
    SELECT id INTO v_subscription FROM host.subscription
        WHERE component = p_component AND name = p_name AND retired_at IS NOT NULL FOR UPDATE;
    DELETE FROM host.delivery WHERE subscription = v_subscription AND state = 'waiting';
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count > 0 THEN
        DELETE FROM host.lane_wakeup WHERE subscription = v_subscription;
        INSERT INTO host.audit (operator, verb, invocation_id, entry_index, component, reason, outcome)
            VALUES (p_operator, 'drop', '00000000-0000-0000-0000-000000000000', 0, p_component, p_reason,
                format('%s events dropped that waited for the retired subscription %s', v_count, p_name));
    END IF;
    RETURN v_count;
END
$$;

REVOKE ALL ON FUNCTION drop_retired FROM PUBLIC;
