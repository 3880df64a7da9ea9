-- What a wallet is to pay once something else has happened: a transfer that is held, then captured, which makes it, or released, which leaves no
-- trace in the transfers. What is held stays its owner's and is out of everybody's reach: it is in `held`, and not in `balance`, which whoever
-- knows of no holds spends from. So a book has what its transfers left in both together, and the books of a currency add up to nothing with both.
ALTER TABLE ledger_book ADD COLUMN held bigint NOT NULL DEFAULT 0;

ALTER TABLE ledger_book
    ADD CONSTRAINT ledger_book_held_not_negative CHECK (held >= 0),
    ADD CONSTRAINT ledger_book_held_by_wallets CHECK (held = 0 OR owner_id IS NOT NULL);

-- A row that was released without ever having been held blocks its id: an undo that overtook what it undoes.
CREATE TABLE ledger_hold (
    id           text           NOT NULL, -- of the transfer
    state        text           NOT NULL,
    source       text,                    -- this and the rest of the transfer are null only for an id that was blocked
    destination  text,
    currency     text,
    amount       bigint,                  -- minor units
    note         text,
    date_created timestamptz(3) NOT NULL,
    date_ended   timestamptz(3),
    CONSTRAINT ledger_hold_pkey PRIMARY KEY (id),
    CONSTRAINT ledger_hold_source_fkey FOREIGN KEY (source, currency) REFERENCES ledger_book (name, currency),
    CONSTRAINT ledger_hold_state_known CHECK (state IN ('held', 'captured', 'released')),
    CONSTRAINT ledger_hold_amount_positive CHECK (amount > 0),
    CONSTRAINT ledger_hold_ended_unless_held CHECK ((state = 'held') = (date_ended IS NULL)),
    CONSTRAINT ledger_hold_whole_unless_blocked CHECK (
        num_nulls(source, destination, currency, amount, note) = 0
        OR state = 'released' AND num_nonnulls(source, destination, currency, amount, note) = 0
    )
);

-- WHERE source = $1 AND state = 'held': what a book's `held` consists of.
CREATE INDEX ledger_hold_source_idx ON ledger_hold (source) WHERE state = 'held';
