-- One row per journal entry, append-only. Of two writers of one index, the second fails (durability.md 1.2).
-- Partitioned by the time in the invocation id, so that finished months are dropped whole; therefore no foreign key.
CREATE TABLE journal_entry (
    invocation_id uuid    NOT NULL,
    entry_index   integer NOT NULL, -- order of arrival from 0, without gaps
    body          bytea   NOT NULL, -- scope, number, kind; payload encrypted
    CONSTRAINT journal_entry_pkey PRIMARY KEY (invocation_id, entry_index),
    CONSTRAINT journal_entry_index_not_negative CHECK (entry_index >= 0)
) PARTITION BY RANGE (invocation_id);

-- What is encrypted does not compress.
ALTER TABLE journal_entry ALTER COLUMN body SET STORAGE EXTERNAL;

-- Takes what no month takes: an id from a clock far off, a straggler of a dropped month. Nothing is ever refused.
CREATE TABLE journal_entry_default PARTITION OF journal_entry DEFAULT;
