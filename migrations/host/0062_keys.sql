-- Replacing keys while nodes run: what each of them works with, so that what none needs any more can go.

ALTER TABLE node
    ADD COLUMN data_key   integer, -- that it seals with
    ADD COLUMN master_key bytea;   -- the fingerprint of its master key; none of a node older than this column

ALTER TABLE data_key ADD COLUMN unused_since timestamptz; -- no node seals with it any more

-- The master keys that nodes may work with, by fingerprint. One that is being replaced lies here wrapped by its successor: who has the new
-- one opens what the old one wrapped, and wraps what nodes with the old one have to open. Once there are none, all is wrapped anew.
CREATE TABLE master_key (
    fingerprint bytea       NOT NULL,
    successor   bytea,
    wrapped     bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT master_key_pkey PRIMARY KEY (fingerprint),
    CONSTRAINT master_key_successor_wraps CHECK ((successor IS NULL) = (wrapped IS NULL))
);

-- Everything else that is secret of an installation, by purpose, wrapped by the master key. They began as derived from it; here they stay the
-- same when it is replaced, and can be replaced without it.
CREATE TABLE secret (
    purpose    text        NOT NULL,
    version    integer     NOT NULL,
    wrapped    bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz, -- verifies what it signed, signs nothing more
    CONSTRAINT secret_pkey PRIMARY KEY (purpose, version)
);
