-- What an operator may read with psql: a view per table, without payloads, seeds, tokens, keys or anything that could be completed or
-- called with what is seen. `host/store/README.md` has examples.

-- One item of CBOR at an offset (from 0), as far as entries use it, and the offset behind it. Byte strings of up to 16 bytes (ids,
-- hashes) are their hexadecimal digits; longer ones are payloads, which are sealed: their length is all there is to say.
CREATE FUNCTION host_view.cbor_item(p_body bytea, INOUT p_at integer, OUT p_item jsonb)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_byte integer := get_byte(p_body, p_at);
    v_minor integer := v_byte & 31;
    v_number bigint := v_minor;
    v_size integer := 0;
    v_bytes bytea;
    v_items jsonb := '[]';
    v_element jsonb;
BEGIN
    p_at := p_at + 1;
    IF v_minor BETWEEN 24 AND 27 THEN
        v_size := 1 << (v_minor - 24);
        v_number := ('x' || lpad(encode(substr(p_body, p_at + 1, v_size), 'hex'), 16, '0'))::bit(64)::bigint;
        p_at := p_at + v_size;
    ELSIF v_minor > 27 THEN
        RAISE EXCEPTION 'CBOR of an indefinite length at %', p_at - 1;
    END IF;
    CASE v_byte >> 5
        WHEN 0 THEN
            p_item := to_jsonb(v_number);
        WHEN 1 THEN
            p_item := to_jsonb(-1 - v_number);
        WHEN 2, 3 THEN
            v_bytes := substr(p_body, p_at + 1, v_number::integer);
            p_at := p_at + v_number::integer;
            IF v_byte >> 5 = 2 THEN
                p_item := CASE WHEN v_number <= 16 THEN to_jsonb(encode(v_bytes, 'hex'))
                               ELSE jsonb_build_object('bytes', v_number) END;
            ELSIF position('\x00'::bytea IN v_bytes) > 0 THEN
                -- PostgreSQL has no text with a zero in it.
                p_item := to_jsonb(encode(v_bytes, 'escape'));
            ELSE
                p_item := to_jsonb(convert_from(v_bytes, 'UTF8'));
            END IF;
        WHEN 4 THEN
            FOR v_element_number IN 1 .. v_number LOOP
                SELECT item.p_at, item.p_item INTO p_at, v_element FROM host_view.cbor_item(p_body, p_at) AS item;
                v_items := v_items || jsonb_build_array(v_element);
            END LOOP;
            p_item := v_items;
        WHEN 7 THEN
            p_item := CASE v_minor WHEN 20 THEN 'false'::jsonb WHEN 21 THEN 'true'::jsonb ELSE 'null'::jsonb END;
        ELSE
            RAISE EXCEPTION 'CBOR of another kind than entries have at %', p_at - 1;
    END CASE;
END
$$;

-- The fields of a stored entry: `[format, kind, …]`. None when a later version wrote it.
CREATE FUNCTION host_view.entry_fields(p_body bytea) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN p_item -> 0 = '1' THEN p_item END FROM host_view.cbor_item(p_body, 0)
$$;

-- A scope as it is written everywhere: `/`, `/3`, `/3/0`.
CREATE FUNCTION host_view.scope(p_position jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT '/' || coalesce(string_agg(step, '/' ORDER BY number), '')
    FROM jsonb_array_elements_text(p_position -> 0) WITH ORDINALITY AS steps (step, number)
$$;

-- Who knows a promise's id may complete it: two rows that speak of the same one can be told by this, which completes nothing.
CREATE FUNCTION host_view.promise_fingerprint(p_promise uuid) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT left(encode(sha256(uuid_send(p_promise)), 'hex'), 16)
$$;

CREATE VIEW host_view.invocation AS
    SELECT id, component, function, deployment, status::text AS status, node_id, attempt, failures, due_at, cause,
        erasure_salt IS NOT NULL AS is_sensitive, -- its payloads are erased when it ends
        parent, created_at, updated_at, ended_at
    FROM host.invocation;

CREATE VIEW host_view.journal_entry AS
    SELECT invocation_id, entry_index,
        (ARRAY['started', 'fence', 'command', 'completion', 'output'])[(fields ->> 1)::integer + 1] AS kind,
        CASE fields ->> 1
            WHEN '1' THEN host_view.scope(nullif(fields #> '{5,0}', 'null'))
            WHEN '2' THEN host_view.scope(fields -> 2)
            WHEN '3' THEN host_view.scope(fields -> 2)
        END AS scope,
        CASE fields ->> 1
            WHEN '1' THEN (fields #>> '{5,0,1}')::bigint
            WHEN '2' THEN (fields #>> '{2,1}')::bigint
            WHEN '3' THEN (fields #>> '{2,1}')::bigint
        END AS number,
        CASE fields ->> 1 WHEN '2' THEN
            (ARRAY['observation', 'transaction', 'call', 'external effect', 'message', 'wait'])[(fields ->> 3)::integer + 1]
        END AS command,
        CASE fields ->> 1
            WHEN '0' THEN (fields ->> 2) || ':' || (fields ->> 3)
            WHEN '2' THEN fields ->> 4
        END AS target,
        CASE fields ->> 1 WHEN '2' THEN fields ->> 5 END AS argument_hash,
        CASE fields ->> 1 WHEN '2' THEN fields -> 6 <> 'null' END AS is_answered, -- by this entry; a completion may follow
        CASE fields ->> 1 WHEN '1' THEN (fields ->> 2)::bigint END AS attempt,
        CASE fields ->> 1 WHEN '1' THEN (fields ->> 3)::uuid END AS node_id,
        CASE fields ->> 1 WHEN '1' THEN
            CASE fields ->> 4
                WHEN '0' THEN 'taken over' WHEN '1' THEN 'tried again' WHEN '2' THEN 'paused' WHEN '3' THEN 'resumed'
                WHEN '4' THEN 'cancelled' WHEN '5' THEN 'answered' WHEN '10' THEN 'suspended again' WHEN '11' THEN 'woken'
                ELSE 'reason ' || (fields ->> 4)
            END
        END AS reason,
        CASE fields ->> 1 WHEN '1' THEN fields #>> '{5,1}' END AS cause,
        CASE fields ->> 1 WHEN '0' THEN fields ->> 7 END AS trace_parent,
        size_bytes
    FROM (
        SELECT invocation_id, entry_index, host_view.entry_fields(body) AS fields, octet_length(body) AS size_bytes
        FROM host.journal_entry
    ) AS entry;

CREATE VIEW host_view.promise AS
    SELECT host_view.promise_fingerprint(id) AS promise, invocation_id, completed_at IS NOT NULL AS is_completed, completed_at,
        (SELECT count(*) FROM host.promise_waiter WHERE promise_id = id) AS waiters
    FROM host.promise;

CREATE VIEW host_view.promise_waiter AS
    SELECT host_view.promise_fingerprint(promise_id) AS promise, invocation_id FROM host.promise_waiter;

CREATE VIEW host_view.wakeup AS
    SELECT number, invocation_id FROM host.wakeup;

CREATE VIEW host_view.idempotency_key AS
    SELECT left(encode(key, 'hex'), 16) AS key, invocation_id, created_at, expires_at FROM host.idempotency_key;

CREATE VIEW host_view.node AS
    SELECT id, name,
        CASE WHEN gone_at IS NOT NULL THEN 'gone'
             WHEN heartbeat_at < clock_timestamp() - make_interval(secs => lease_ms / 1000.0) THEN 'expired'
             WHEN draining THEN 'draining'
             ELSE 'alive' END AS status,
        started_at, heartbeat_at, lease_ms, gone_at
    FROM host.node;

CREATE VIEW host_view.deployment AS
    SELECT number, created_at FROM host.deployment;

CREATE VIEW host_view.deployment_component AS
    SELECT deployment, component, encode(revision, 'hex') AS revision FROM host.deployment_component;

CREATE VIEW host_view.revision AS
    SELECT encode(digest, 'hex') AS digest, octet_length(wasm) AS size_bytes, created_at FROM host.revision;

CREATE VIEW host_view.data_key AS
    SELECT id, created_at, retired_at FROM host.data_key;

CREATE VIEW host_view.audit AS
    SELECT id, said_at, operator, verb, invocation_id, entry_index, successor, reason, outcome FROM host.audit;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA host_view FROM PUBLIC;
