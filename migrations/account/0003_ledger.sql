-- Money inside the shop, kept twofold: a transfer takes from one book what it gives to another, so the books of a currency add up to
-- nothing at any moment, and a book's balance is what its transfers left. `profile.internal_balance` is not used: a wallet is a book.

CREATE TABLE ledger_book (
    name     text   NOT NULL, -- world, escrow, revenue, or wallet:<account>
    currency text   NOT NULL,
    owner_id uuid,            -- of a wallet
    balance  bigint NOT NULL, -- minor units
    CONSTRAINT ledger_book_pkey PRIMARY KEY (name, currency),
    CONSTRAINT ledger_book_owner_fkey FOREIGN KEY (owner_id) REFERENCES account (id),
    CONSTRAINT ledger_book_name_known CHECK (
        CASE WHEN owner_id IS NULL THEN name IN ('world', 'escrow', 'revenue') ELSE name = 'wallet:' || owner_id END
    ),
    CONSTRAINT ledger_book_currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    -- What is outside is below zero by what the shop holds; nobody else owes anything.
    CONSTRAINT ledger_book_not_overdrawn CHECK (name = 'world' OR balance >= 0)
);

-- The foreign key above, when an account is deleted: WHERE owner_id = $1.
CREATE INDEX ledger_book_owner_idx ON ledger_book (owner_id) WHERE owner_id IS NOT NULL;

-- Never changed. The id is chosen by whoever asks for the transfer, so it happens once, however often it is asked for.
CREATE TABLE ledger_transfer (
    id           text           NOT NULL,
    source       text           NOT NULL,
    destination  text           NOT NULL,
    currency     text           NOT NULL,
    amount       bigint         NOT NULL, -- minor units
    note         text           NOT NULL,
    date_created timestamptz(3) NOT NULL,
    CONSTRAINT ledger_transfer_pkey PRIMARY KEY (id),
    CONSTRAINT ledger_transfer_source_fkey FOREIGN KEY (source, currency) REFERENCES ledger_book (name, currency),
    CONSTRAINT ledger_transfer_destination_fkey FOREIGN KEY (destination, currency) REFERENCES ledger_book (name, currency),
    CONSTRAINT ledger_transfer_between_two CHECK (source <> destination),
    CONSTRAINT ledger_transfer_amount_positive CHECK (amount > 0)
);

-- WHERE source = $1 OR destination = $1 ORDER BY date_created: what a book's balance comes from.
CREATE INDEX ledger_transfer_source_idx ON ledger_transfer (source, date_created);
CREATE INDEX ledger_transfer_destination_idx ON ledger_transfer (destination, date_created);
