-- What the benchmark reads and writes. The native handlers get the same tables in a schema of their own.

-- Ten thousand, so that concurrent clients seldom wait for each other's rows: that would measure PostgreSQL's locks.
CREATE TABLE item (
    id    bigint NOT NULL,
    name  text   NOT NULL,
    price bigint NOT NULL, -- minor units
    stock bigint NOT NULL,
    CONSTRAINT item_pkey PRIMARY KEY (id),
    CONSTRAINT item_stock_not_negative CHECK (stock >= 0)
);

CREATE TABLE purchase (
    id       bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    item_id  bigint NOT NULL,
    quantity bigint NOT NULL,
    amount   bigint NOT NULL, -- minor units
    CONSTRAINT purchase_pkey PRIMARY KEY (id),
    CONSTRAINT purchase_quantity_positive CHECK (quantity > 0)
);

INSERT INTO item (id, name, price, stock)
SELECT id, 'item ' || id, 100 + id % 900, 1000000000 FROM generate_series(1, 10000) AS id;
