-- What an account means to buy: no price, no hold on stock. One row per account and SKU, so that adding twice adds up.
CREATE TABLE "order".cart_item (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    account_id uuid   NOT NULL,
    sku_id     uuid   NOT NULL,
    quantity   bigint NOT NULL,
    CONSTRAINT cart_item_pkey PRIMARY KEY (id),
    -- Also serves: the cart of an account.
    CONSTRAINT cart_item_account_sku_key UNIQUE (account_id, sku_id),
    CONSTRAINT cart_item_quantity_in_range CHECK (quantity BETWEEN 1 AND 1000)
);
