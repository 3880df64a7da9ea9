-- What a checkout took out of its buyer's cart: it goes back when the checkout fails or is cancelled, also by somebody who no longer
-- remembers it.
CREATE TABLE "order".cart_taken (
    session_id uuid   NOT NULL,
    account_id uuid   NOT NULL,
    sku_id     uuid   NOT NULL,
    quantity   bigint NOT NULL,
    CONSTRAINT cart_taken_pkey PRIMARY KEY (session_id, sku_id),
    CONSTRAINT cart_taken_session_fkey FOREIGN KEY (session_id) REFERENCES "order".payment_session (id),
    CONSTRAINT cart_taken_quantity_positive CHECK (quantity > 0)
);
