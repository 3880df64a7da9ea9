-- The module `stock`, on both sides alike.

-- Ten thousand, so that concurrent clients seldom wait for each other's rows: that would measure PostgreSQL's locks.
CREATE TABLE item (
    id        bigint NOT NULL,
    available bigint NOT NULL,
    CONSTRAINT item_pkey PRIMARY KEY (id),
    CONSTRAINT item_available_not_negative CHECK (available >= 0)
);

CREATE TABLE reservation (
    id       bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    item_id  bigint NOT NULL,
    quantity bigint NOT NULL,
    CONSTRAINT reservation_pkey PRIMARY KEY (id),
    CONSTRAINT reservation_quantity_positive CHECK (quantity > 0)
);

INSERT INTO item (id, available) SELECT id, 1000000000 FROM generate_series(1, 10000) AS id;
