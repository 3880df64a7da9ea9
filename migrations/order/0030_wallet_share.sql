-- What of a line was paid from its buyer's wallet, in minor units: it is in escrow from the checkout on, whoever is to bring the rest.
ALTER TABLE "order".item ADD COLUMN wallet_amount bigint NOT NULL DEFAULT 0;

ALTER TABLE "order".item ADD CONSTRAINT item_wallet_amount_in_total CHECK (wallet_amount BETWEEN 0 AND total_amount);

-- A line that was paid with two legs is given back from both, from each at most once.
ALTER TABLE "order".transaction DROP CONSTRAINT transaction_item_refunded_once;

ALTER TABLE "order".transaction ADD CONSTRAINT transaction_item_refunded_once_per_leg UNIQUE (item_id, reverses_id);
