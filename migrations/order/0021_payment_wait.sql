-- What a session's flow waits for while its payment is made elsewhere. The row is there as long as the flow is: an event that comes
-- without one is late. The three promises are ids of `nexus:durable/promises`.
CREATE TABLE "order".payment_wait (
    session_id   uuid    NOT NULL,
    bell         text    NOT NULL, -- promise: completed when there is something to look at
    next_url     text,             -- promise: where the payment continues; null while nobody waits for it
    ended        text    NOT NULL, -- promise: completed when the session is decided
    cancel_asked boolean NOT NULL DEFAULT false,
    retry_asked  boolean NOT NULL DEFAULT false,
    failure      jsonb,            -- what whoever waits is told when it ends without money
    CONSTRAINT payment_wait_pkey PRIMARY KEY (session_id),
    CONSTRAINT payment_wait_session_fkey FOREIGN KEY (session_id) REFERENCES "order".payment_session (id)
);

-- What gateways reported, each once, whatever became of it.
CREATE TABLE "order".payment_event (
    provider      text        NOT NULL, -- the component that checked it
    event_id      text        NOT NULL, -- the gateway's own
    leg_id        uuid        NOT NULL,
    outcome       text        NOT NULL,
    amount        bigint      NOT NULL,
    currency      text        NOT NULL,
    provider_ref  text        NOT NULL,
    date_occurred timestamptz NOT NULL,
    date_received timestamptz NOT NULL,
    CONSTRAINT payment_event_pkey PRIMARY KEY (provider, event_id),
    CONSTRAINT payment_event_leg_fkey FOREIGN KEY (leg_id) REFERENCES "order".transaction (id),
    CONSTRAINT payment_event_outcome_known CHECK (outcome IN ('pending', 'succeeded', 'failed', 'expired'))
);

-- SELECT ... WHERE leg_id = $1: what was reported of a leg.
CREATE INDEX payment_event_leg_idx ON "order".payment_event (leg_id);

-- SELECT ... WHERE reverses_id = $1: what was given back of a leg.
CREATE INDEX transaction_reverses_idx ON "order".transaction (reverses_id) WHERE reverses_id IS NOT NULL;
