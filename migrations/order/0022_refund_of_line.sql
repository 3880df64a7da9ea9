-- Money back for one line: each at most once, whoever asks.
ALTER TABLE "order".transaction ADD COLUMN item_id bigint;

ALTER TABLE "order".transaction
    ADD CONSTRAINT transaction_item_fkey FOREIGN KEY (item_id) REFERENCES "order".item (id),
    ADD CONSTRAINT transaction_item_refunded_once UNIQUE (item_id),
    ADD CONSTRAINT transaction_item_is_refunded CHECK (item_id IS NULL OR reverses_id IS NOT NULL);
