-- The module `orders`, on both sides alike.

CREATE TABLE buyer (
    id           bigint NOT NULL,
    spent_amount bigint NOT NULL, -- minor units
    CONSTRAINT buyer_pkey PRIMARY KEY (id)
);

CREATE TABLE purchase (
    id             bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    buyer_id       bigint NOT NULL,
    reservation_id bigint NOT NULL,
    amount         bigint NOT NULL, -- minor units
    receipt        text   NOT NULL, -- of the payment
    CONSTRAINT purchase_pkey PRIMARY KEY (id)
);

INSERT INTO buyer (id, spent_amount) SELECT id, 0 FROM generate_series(1, 10000) AS id;
