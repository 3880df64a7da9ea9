-- What the hostile module may use: a log of how far it came, and rows to lock.
CREATE TABLE trace (
    id   bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    name text   NOT NULL, -- of the misdeed
    CONSTRAINT trace_pkey PRIMARY KEY (id)
);

CREATE TABLE item (
    id     bigint NOT NULL,
    amount bigint NOT NULL,
    CONSTRAINT item_pkey PRIMARY KEY (id)
);

INSERT INTO item (id, amount) SELECT id, 0 FROM generate_series(1, 100) AS id;
