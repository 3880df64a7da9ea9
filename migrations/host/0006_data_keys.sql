-- The keys that seal payloads, each wrapped by the master key, which is not in the database. A dropped key makes every
-- payload it sealed unreadable for good.
CREATE TABLE data_key (
    id         integer     NOT NULL GENERATED ALWAYS AS IDENTITY,
    wrapped    bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz, -- opens what it sealed, seals nothing more
    CONSTRAINT data_key_pkey PRIMARY KEY (id)
);
