-- One money intent: a checkout, a seller's confirmation fee, a payout (whose id is the order's).
CREATE TABLE "order".payment_session (
    id                  uuid        NOT NULL,
    kind                text        NOT NULL,
    status              text        NOT NULL,
    from_id             uuid,                 -- payer; null is the platform
    to_id               uuid,                 -- payee; null is the platform
    note                text        NOT NULL,
    currency            text        NOT NULL,
    total_amount        bigint      NOT NULL, -- minor units; what is still to be paid or was paid
    collect_on_delivery boolean     NOT NULL, -- the carrier collects it: pending until then, yet the goods may leave
    data                jsonb       NOT NULL DEFAULT '{}',
    date_created        timestamptz NOT NULL,
    date_paid           timestamptz,
    date_expired        timestamptz NOT NULL, -- a checkout that nobody confirmed by then is undone
    CONSTRAINT payment_session_pkey PRIMARY KEY (id),
    CONSTRAINT payment_session_kind_known
        CHECK (kind IN ('buyer-checkout', 'seller-confirmation-fee', 'seller-payout')),
    CONSTRAINT payment_session_status_known
        CHECK (status IN ('Pending', 'Processing', 'Success', 'Cancelled', 'Failed')),
    CONSTRAINT payment_session_currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT payment_session_total_not_negative CHECK (total_amount >= 0),
    CONSTRAINT payment_session_paid_when_success CHECK ((date_paid IS NOT NULL) = (status = 'Success'))
);

-- SELECT ... WHERE from_id = $1 ORDER BY date_created DESC: what an account paid or is to pay.
CREATE INDEX payment_session_from_idx ON "order".payment_session (from_id, date_created DESC);

-- SELECT ... WHERE status IN ('Pending', 'Processing') AND date_expired < $1: what should have ended.
CREATE INDEX payment_session_open_idx ON "order".payment_session (date_expired)
    WHERE status IN ('Pending', 'Processing');

-- One movement of a session's money on one rail. A settled movement is never changed: money back is a negative leg that names it.
-- The amount of a pending leg is what is still to be collected, and shrinks when lines are cancelled.
CREATE TABLE "order".transaction (
    id             uuid        NOT NULL, -- the reference the provider is given
    session_id     uuid        NOT NULL,
    status         text        NOT NULL,
    note           text        NOT NULL,
    error          text,
    payment_option text,                 -- null is the internal wallet
    data           jsonb       NOT NULL DEFAULT '{}',
    amount         bigint      NOT NULL,
    from_currency  text        NOT NULL,
    to_currency    text        NOT NULL,
    exchange_rate  numeric     NOT NULL DEFAULT 1,
    reverses_id    uuid,
    date_created   timestamptz NOT NULL,
    date_settled   timestamptz,
    date_expired   timestamptz,
    CONSTRAINT transaction_pkey PRIMARY KEY (id),
    CONSTRAINT transaction_session_fkey FOREIGN KEY (session_id) REFERENCES "order".payment_session (id),
    CONSTRAINT transaction_reverses_fkey FOREIGN KEY (reverses_id) REFERENCES "order".transaction (id),
    CONSTRAINT transaction_status_known
        CHECK (status IN ('Pending', 'Processing', 'Success', 'Cancelled', 'Failed')),
    CONSTRAINT transaction_sign_matches_reversal
        CHECK ((amount > 0 AND reverses_id IS NULL) OR (amount < 0 AND reverses_id IS NOT NULL)),
    CONSTRAINT transaction_reverses_another CHECK (reverses_id <> id),
    CONSTRAINT transaction_settled_when_success CHECK ((date_settled IS NOT NULL) = (status = 'Success'))
);

-- SELECT ... WHERE session_id = $1: the legs of a session.
CREATE INDEX transaction_session_idx ON "order".transaction (session_id);
