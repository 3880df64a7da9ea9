-- Refresh tokens rotate: each is good for one use, and all that came from one sign-in are a family. The use of an old one
-- means that somebody else has a copy, so it ends the whole family.

CREATE TABLE refresh_family (
    id           uuid           NOT NULL,
    account_id   uuid           NOT NULL,
    date_created timestamptz(3) NOT NULL,
    date_expires timestamptz(3) NOT NULL, -- of the family as a whole, however often it rotates
    date_revoked timestamptz(3),
    CONSTRAINT refresh_family_pkey PRIMARY KEY (id),
    CONSTRAINT refresh_family_account_fkey FOREIGN KEY (account_id) REFERENCES account (id) ON DELETE CASCADE
);

-- What a sign-in removes: WHERE account_id = $1 AND date_expires < $2.
CREATE INDEX refresh_family_account_idx ON refresh_family (account_id, date_expires);

CREATE TABLE refresh_token (
    fingerprint  text           NOT NULL, -- a keyed digest of the token's id: the token itself is not kept
    family_id    uuid           NOT NULL,
    date_created timestamptz(3) NOT NULL,
    date_expires timestamptz(3) NOT NULL,
    date_used    timestamptz(3),          -- when it was exchanged for its successor
    CONSTRAINT refresh_token_pkey PRIMARY KEY (fingerprint),
    CONSTRAINT refresh_token_family_fkey FOREIGN KEY (family_id) REFERENCES refresh_family (id) ON DELETE CASCADE
);

-- The foreign key above, when a family is deleted: WHERE family_id = $1.
CREATE INDEX refresh_token_family_idx ON refresh_token (family_id);
