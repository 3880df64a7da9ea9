-- What stands of the transactions.
CREATE TABLE note (
    ticket text NOT NULL,
    what   text NOT NULL,
    CONSTRAINT note_what_once UNIQUE (ticket, what)
);

-- Checked at the commit.
CREATE TABLE answer (
    ticket text NOT NULL,
    what   text NOT NULL,
    CONSTRAINT answer_is_to_a_note FOREIGN KEY (ticket, what) REFERENCES note (ticket, what) DEFERRABLE INITIALLY DEFERRED
);
