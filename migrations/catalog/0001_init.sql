-- Listings, variants, categories and tags. Times and ids come from the caller; only sequences are drawn here.

CREATE TABLE category (
    id          uuid NOT NULL,
    name        text NOT NULL,
    description text NOT NULL,
    parent_id   uuid, -- null for a root
    CONSTRAINT category_pkey PRIMARY KEY (id),
    CONSTRAINT category_name_key UNIQUE (name),
    CONSTRAINT category_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT category_parent_fkey FOREIGN KEY (parent_id) REFERENCES category (id) ON DELETE RESTRICT,
    CONSTRAINT category_parent_not_itself CHECK (parent_id <> id)
);

-- The descendants of a category: WHERE parent_id = $1.
CREATE INDEX category_parent_idx ON category (parent_id);

-- One listing. Rows are never deleted: orders refer to them for years.
CREATE TABLE product_spu (
    id              uuid        NOT NULL,
    number          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    slug            text        NOT NULL,
    account_id      uuid        NOT NULL, -- the seller
    category_id     uuid        NOT NULL,
    featured_sku_id uuid,                 -- null only while there is no live variant
    name            text        NOT NULL,
    description     text        NOT NULL,
    is_enabled      boolean     NOT NULL,
    currency        text        NOT NULL, -- of all its variants
    specifications  jsonb       NOT NULL, -- list of {name, value}
    -- Read model for browsing, kept by every transaction that touches a variant: what a card shows and the range of live prices.
    card_price      bigint      NOT NULL DEFAULT 0,
    price_min       bigint,
    price_max       bigint,
    version         bigint      NOT NULL DEFAULT 1, -- raised by every change; a PATCH may name the one it has seen
    date_created    timestamptz NOT NULL,
    date_updated    timestamptz NOT NULL,
    date_deleted    timestamptz,
    CONSTRAINT product_spu_pkey PRIMARY KEY (id),
    CONSTRAINT product_spu_number_key UNIQUE (number),
    CONSTRAINT product_spu_slug_key UNIQUE (slug),
    CONSTRAINT product_spu_category_fkey FOREIGN KEY (category_id) REFERENCES category (id) ON DELETE RESTRICT,
    CONSTRAINT product_spu_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT product_spu_currency_shape CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT product_spu_specifications_list CHECK (jsonb_typeof(specifications) = 'array'),
    CONSTRAINT product_spu_price_range CHECK (price_min <= price_max)
);

-- One variant.
CREATE TABLE product_sku (
    id               uuid        NOT NULL,
    spu_id           uuid        NOT NULL,
    price            bigint      NOT NULL, -- in the smallest unit of the listing's currency
    shared_packaging boolean     NOT NULL, -- false: one package per unit
    attributes       jsonb       NOT NULL, -- list of {name, value}
    package_details  jsonb       NOT NULL, -- free object; shipping reads weight_grams
    version          bigint      NOT NULL DEFAULT 1,
    date_created     timestamptz NOT NULL,
    date_updated     timestamptz NOT NULL,
    date_deleted     timestamptz,
    CONSTRAINT product_sku_pkey PRIMARY KEY (id),
    CONSTRAINT product_sku_spu_id_key UNIQUE (spu_id, id),
    CONSTRAINT product_sku_spu_fkey FOREIGN KEY (spu_id) REFERENCES product_spu (id) ON DELETE RESTRICT,
    CONSTRAINT product_sku_price_positive CHECK (price > 0),
    CONSTRAINT product_sku_attributes_list CHECK (jsonb_typeof(attributes) = 'array'),
    CONSTRAINT product_sku_package_details_object CHECK (jsonb_typeof(package_details) = 'object')
);

-- The featured variant belongs to the listing: the pair is the key.
ALTER TABLE product_spu
    ADD CONSTRAINT product_spu_featured_sku_fkey FOREIGN KEY (id, featured_sku_id) REFERENCES product_sku (spu_id, id);

-- Newest first: WHERE date_deleted IS NULL ORDER BY date_created DESC, id DESC.
CREATE INDEX product_spu_newest_idx ON product_spu (date_created DESC, id DESC) WHERE date_deleted IS NULL;
-- A seller's listings: WHERE account_id = $1 AND date_deleted IS NULL ORDER BY date_created DESC, id DESC.
CREATE INDEX product_spu_account_idx ON product_spu (account_id, date_created DESC, id DESC) WHERE date_deleted IS NULL;
-- A category's listings: WHERE category_id = ANY($1) AND date_deleted IS NULL ORDER BY date_created DESC, id DESC.
CREATE INDEX product_spu_category_idx ON product_spu (category_id, date_created DESC, id DESC) WHERE date_deleted IS NULL;
-- By price, either way: WHERE date_deleted IS NULL ORDER BY card_price, id.
CREATE INDEX product_spu_price_idx ON product_spu (card_price, id) WHERE date_deleted IS NULL;

CREATE TABLE tag (
    id          text NOT NULL, -- the tag itself, trimmed and in lower case
    account_id  uuid NOT NULL, -- who used it first
    name        text NOT NULL,
    description text,
    CONSTRAINT tag_pkey PRIMARY KEY (id),
    CONSTRAINT tag_id_length CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT tag_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT tag_description_length CHECK (char_length(description) <= 255)
);

CREATE TABLE product_spu_tag (
    spu_id uuid NOT NULL,
    tag    text NOT NULL,
    CONSTRAINT product_spu_tag_pkey PRIMARY KEY (spu_id, tag),
    CONSTRAINT product_spu_tag_spu_fkey FOREIGN KEY (spu_id) REFERENCES product_spu (id) ON DELETE CASCADE,
    CONSTRAINT product_spu_tag_tag_fkey FOREIGN KEY (tag) REFERENCES tag (id) ON DELETE CASCADE
);

-- Browsing by tags: WHERE tag = ANY($1).
CREATE INDEX product_spu_tag_tag_idx ON product_spu_tag (tag, spu_id);

-- What an indexer has to read again. Written in the transaction of the change it announces; `version` lets the indexer clear a
-- flag only if nothing changed while it worked.
CREATE TABLE search_sync (
    ref_type           text        NOT NULL,
    ref_id             uuid        NOT NULL,
    is_stale_embedding boolean     NOT NULL,
    is_stale_metadata  boolean     NOT NULL,
    is_deleted         boolean     NOT NULL DEFAULT false, -- the entity is gone: remove it from the index
    version            bigint      NOT NULL DEFAULT 1,
    date_created       timestamptz NOT NULL,
    date_updated       timestamptz NOT NULL,
    CONSTRAINT search_sync_pkey PRIMARY KEY (ref_type, ref_id),
    CONSTRAINT search_sync_ref_type_known CHECK (ref_type IN ('ProductSpu', 'Category', 'Tag'))
);

-- The indexer's next batch: WHERE is_stale_embedding OR is_stale_metadata ORDER BY date_updated.
CREATE INDEX search_sync_stale_idx ON search_sync (date_updated) WHERE is_stale_embedding OR is_stale_metadata;
