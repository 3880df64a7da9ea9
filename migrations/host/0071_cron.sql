-- Calls by the clock: one row for each tick that was met, which is the fence against every other node that meets it.
CREATE TABLE cron_tick (
    component     text        NOT NULL,
    name          text        NOT NULL, -- of the manifest's line
    tick          timestamptz NOT NULL,
    schedule      text        NOT NULL, -- by which it was a tick
    invocation_id uuid,                 -- that was begun; none where counting began, and where the run before was open
    met_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT cron_tick_pkey PRIMARY KEY (component, name, tick)
);

-- Meets a tick: once over all nodes, and never behind a later one. What it came to: `begun`, `skipped` because the run of an earlier one
-- is open, or `met` by another node before.
CREATE FUNCTION meet_tick(
    p_node uuid, p_token bytea, p_component text, p_name text, p_schedule text, p_tick_ms bigint, p_skips boolean,
    p_invocation uuid, p_started bytea, p_function text, p_deployment bigint
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, host, pg_temp AS $$
DECLARE
    v_tick timestamptz := to_timestamp(p_tick_ms / 1000.0);
    v_skipped boolean;
BEGIN
    PERFORM host.check_node(p_node, p_token);
    IF v_tick > clock_timestamp() THEN
        RAISE EXCEPTION 'the tick % is still to come', v_tick;
    END IF;
    v_skipped := p_skips AND EXISTS (
        SELECT FROM host.cron_tick JOIN host.invocation ON invocation.id = cron_tick.invocation_id
        WHERE cron_tick.component = p_component AND name = p_name
            AND status NOT IN ('completed', 'failed', 'cancelled'));
    INSERT INTO host.cron_tick (component, name, tick, schedule, invocation_id)
        SELECT p_component, p_name, v_tick, p_schedule, CASE WHEN NOT v_skipped THEN p_invocation END
        WHERE NOT EXISTS (
            SELECT FROM host.cron_tick WHERE component = p_component AND name = p_name AND tick >= v_tick)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'met';
    END IF;
    IF v_skipped THEN
        RETURN 'skipped';
    END IF;
    PERFORM host.send(p_node, p_token, p_invocation, p_started, p_component, p_function, p_deployment, NULL, NULL, p_tick_ms);
    RETURN 'begun';
END
$$;

CREATE VIEW host_view.cron_tick AS
    SELECT component, name, tick, schedule, invocation_id, met_at FROM host.cron_tick;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA host FROM PUBLIC;
