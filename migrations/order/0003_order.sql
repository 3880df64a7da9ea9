-- A parcel.
CREATE TABLE "order".transport (
    id           bigint      GENERATED ALWAYS AS IDENTITY,
    option       text        NOT NULL, -- the carrier's option id
    provider     text        NOT NULL, -- who drives
    direction    text        NOT NULL,
    status       text        NOT NULL DEFAULT 'Pending',
    cost_amount  bigint      NOT NULL, -- minor units, as quoted
    currency     text        NOT NULL,
    data         jsonb       NOT NULL DEFAULT '{}',
    date_created timestamptz NOT NULL,
    CONSTRAINT transport_pkey PRIMARY KEY (id),
    CONSTRAINT transport_direction_known CHECK (direction IN ('outbound', 'return')),
    CONSTRAINT transport_status_known
        CHECK (status IN ('Pending', 'Processing', 'Success', 'Cancelled', 'Failed')),
    CONSTRAINT transport_cost_not_negative CHECK (cost_amount >= 0)
);

-- Made when a seller confirms lines of one buyer, one address, one transport option. Its state is read off its fee session,
-- its parcel and its payout.
CREATE TABLE "order"."order" (
    id                 uuid        NOT NULL,
    buyer_id           uuid        NOT NULL,
    seller_id          uuid        NOT NULL,
    transport_id       bigint      NOT NULL,
    address            text        NOT NULL,
    date_created       timestamptz NOT NULL,
    confirmed_by_id    uuid        NOT NULL,
    confirm_session_id uuid        NOT NULL,
    note               text,
    CONSTRAINT order_pkey PRIMARY KEY (id),
    CONSTRAINT order_transport_key UNIQUE (transport_id),
    -- One confirmation makes one order, however often it is carried out.
    CONSTRAINT order_confirm_session_key UNIQUE (confirm_session_id),
    CONSTRAINT order_transport_fkey FOREIGN KEY (transport_id) REFERENCES "order".transport (id),
    CONSTRAINT order_confirm_session_fkey FOREIGN KEY (confirm_session_id) REFERENCES "order".payment_session (id)
);

-- SELECT ... WHERE buyer_id = $1 ORDER BY date_created DESC, id DESC: a buyer's orders.
CREATE INDEX order_buyer_idx ON "order"."order" (buyer_id, date_created DESC, id DESC);

-- SELECT ... WHERE seller_id = $1 ORDER BY date_created DESC, id DESC: a seller's orders.
CREATE INDEX order_seller_idx ON "order"."order" (seller_id, date_created DESC, id DESC);

-- One line of a checkout. Pending until it has an order; claimed while a confirmation works on it.
CREATE TABLE "order".item (
    id                 bigint      GENERATED ALWAYS AS IDENTITY,
    order_id           uuid,
    confirm_session_id uuid,                 -- the confirmation that claimed it
    account_id         uuid        NOT NULL, -- the buyer
    seller_id          uuid        NOT NULL,
    sku_id             uuid        NOT NULL,
    spu_id             uuid        NOT NULL,
    slug               text        NOT NULL, -- of the listing when it was bought
    sku_name           text        NOT NULL,
    address            text        NOT NULL,
    note               text,
    serial_ids         jsonb,
    quantity           bigint      NOT NULL,
    weight_grams       bigint      NOT NULL, -- of one unit, for the seller's shipping quote
    transport_option   text        NOT NULL,
    currency           text        NOT NULL, -- of the four amounts below, in minor units
    unit_amount        bigint      NOT NULL,
    subtotal_amount    bigint      NOT NULL,
    shipping_amount    bigint      NOT NULL,
    total_amount       bigint      NOT NULL,
    payment_session_id uuid        NOT NULL,
    reservation_id     uuid        NOT NULL, -- the stock held or sold for this line alone
    date_created       timestamptz NOT NULL,
    date_cancelled     timestamptz,
    cancelled_by_id    uuid,                 -- null is the system
    CONSTRAINT item_pkey PRIMARY KEY (id),
    CONSTRAINT item_reservation_key UNIQUE (reservation_id),
    -- Also serves: the lines of a session. A SKU is bought once per checkout.
    CONSTRAINT item_session_sku_key UNIQUE (payment_session_id, sku_id),
    CONSTRAINT item_order_fkey FOREIGN KEY (order_id) REFERENCES "order"."order" (id) ON DELETE CASCADE,
    CONSTRAINT item_payment_session_fkey
        FOREIGN KEY (payment_session_id) REFERENCES "order".payment_session (id),
    CONSTRAINT item_confirm_session_fkey
        FOREIGN KEY (confirm_session_id) REFERENCES "order".payment_session (id),
    CONSTRAINT item_quantity_positive CHECK (quantity > 0),
    CONSTRAINT item_amounts_add_up CHECK (
        unit_amount >= 0 AND shipping_amount >= 0 AND subtotal_amount = unit_amount * quantity
        AND total_amount = subtotal_amount + shipping_amount
    ),
    CONSTRAINT item_ordered_was_claimed CHECK (order_id IS NULL OR confirm_session_id IS NOT NULL),
    CONSTRAINT item_claimed_is_not_cancelled CHECK (confirm_session_id IS NULL OR date_cancelled IS NULL OR order_id IS NOT NULL)
);

-- SELECT ... WHERE order_id = ANY($1): the lines of orders.
CREATE INDEX item_order_idx ON "order".item (order_id) WHERE order_id IS NOT NULL;

-- SELECT ... WHERE account_id = $1 AND order_id IS NULL ORDER BY date_created DESC, id DESC: a buyer's pending and cancelled lines.
CREATE INDEX item_buyer_unconfirmed_idx ON "order".item (account_id, date_created DESC, id DESC) WHERE order_id IS NULL;

-- SELECT ... WHERE seller_id = $1 AND order_id IS NULL AND date_cancelled IS NULL ORDER BY date_created DESC, id DESC:
-- what waits for the seller.
CREATE INDEX item_seller_pending_idx ON "order".item (seller_id, date_created DESC, id DESC)
    WHERE order_id IS NULL AND date_cancelled IS NULL;

-- UPDATE ... WHERE confirm_session_id = $1: a claim taken back or turned into an order.
CREATE INDEX item_claim_idx ON "order".item (confirm_session_id) WHERE confirm_session_id IS NOT NULL;

-- SELECT ... WHERE sku_id = ANY($1) AND order_id = $2: whether an order holds one of these SKUs.
CREATE INDEX item_sku_idx ON "order".item (sku_id);
