-- A transfer that moves back what another one moved says so. Each is moved back at most once.
ALTER TABLE ledger_transfer ADD COLUMN reverts_id text;

ALTER TABLE ledger_transfer
    ADD CONSTRAINT ledger_transfer_reverts_fkey FOREIGN KEY (reverts_id) REFERENCES ledger_transfer (id),
    ADD CONSTRAINT ledger_transfer_reverted_once UNIQUE (reverts_id),
    ADD CONSTRAINT ledger_transfer_reverts_another CHECK (reverts_id <> id);
