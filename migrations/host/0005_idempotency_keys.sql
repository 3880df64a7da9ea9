-- A request's key, taken by the invocation that answers it. All parts are keyed hashes: the table tells nothing about clients.
CREATE TABLE idempotency_key (
    key           bytea       NOT NULL, -- of component, method, route, subject and the client's key
    fingerprint   bytea       NOT NULL, -- of the whole request
    invocation_id uuid        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    CONSTRAINT idempotency_key_pkey PRIMARY KEY (key),
    CONSTRAINT idempotency_key_is_keyed_hash CHECK (octet_length(key) = 32 AND octet_length(fingerprint) = 32)
);

-- DELETE FROM idempotency_key WHERE expires_at <= now()
CREATE INDEX idempotency_key_expiry ON idempotency_key (expires_at);

-- SELECT FROM idempotency_key WHERE invocation_id = $1: an invocation is kept as long as a good key leads to it.
CREATE INDEX idempotency_key_invocation ON idempotency_key (invocation_id);
