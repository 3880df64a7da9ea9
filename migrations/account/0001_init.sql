-- Who can sign in, who they are, and where they live. Ids and times come from the caller; only the number is drawn here.

-- A login identity. Every account buys and sells.
CREATE TABLE account (
    id            uuid           NOT NULL,
    number        bigint         NOT NULL GENERATED ALWAYS AS IDENTITY, -- for people and inside tokens
    status        text           NOT NULL,
    phone         text,
    email         text,                    -- as its owner writes it
    email_key     text,                    -- trimmed and in lower case: what is unique and what is searched
    username      text,
    password_hash text,                    -- null: no password, so no sign-in with one
    date_created  timestamptz(3) NOT NULL,
    CONSTRAINT account_pkey PRIMARY KEY (id),
    CONSTRAINT account_number_key UNIQUE (number),
    CONSTRAINT account_phone_key UNIQUE (phone),
    CONSTRAINT account_email_key UNIQUE (email_key),
    CONSTRAINT account_username_key UNIQUE (username),
    CONSTRAINT account_status_known CHECK (status IN ('Active', 'Suspended')),
    CONSTRAINT account_can_be_named CHECK (num_nonnulls(phone, email_key, username) > 0),
    CONSTRAINT account_email_has_key CHECK ((email IS NULL) = (email_key IS NULL)),
    CONSTRAINT account_phone_length CHECK (char_length(phone) BETWEEN 1 AND 50),
    CONSTRAINT account_email_length CHECK (char_length(email) BETWEEN 1 AND 255),
    CONSTRAINT account_username_length CHECK (char_length(username) BETWEEN 1 AND 100),
    -- A username that looks like another kind of identifier would make somebody else's sign-in ambiguous.
    CONSTRAINT account_username_is_no_other_kind CHECK (username NOT LIKE '%@%' AND username NOT LIKE '+%')
);

-- What an account shows of itself, one row each.
CREATE TABLE profile (
    id                 uuid           NOT NULL,
    gender             text,
    name               text           NOT NULL,
    description        text           NOT NULL,
    date_of_birth      timestamptz(3),
    avatar_rs_id       uuid,                    -- a resource of the common module
    email_verified     boolean        NOT NULL,
    phone_verified     boolean        NOT NULL,
    date_created       timestamptz(3) NOT NULL,
    date_updated       timestamptz(3) NOT NULL,
    country            text           NOT NULL, -- ISO 3166-1 alpha-2; the currency follows from it
    internal_balance   bigint         NOT NULL, -- the wallet, in that currency's smallest unit
    default_contact_id uuid,
    CONSTRAINT profile_pkey PRIMARY KEY (id),
    CONSTRAINT profile_account_fkey FOREIGN KEY (id) REFERENCES account (id) ON DELETE CASCADE,
    CONSTRAINT profile_avatar_key UNIQUE (avatar_rs_id),
    CONSTRAINT profile_gender_known CHECK (gender IN ('Male', 'Female', 'Other')),
    CONSTRAINT profile_name_length CHECK (char_length(name) <= 100),
    CONSTRAINT profile_description_length CHECK (char_length(description) <= 500),
    CONSTRAINT profile_country_shape CHECK (country ~ '^[A-Z]{2}$'),
    CONSTRAINT profile_balance_not_negative CHECK (internal_balance >= 0)
);

-- A saved address. The default one is also where a seller's parcels leave from.
CREATE TABLE contact (
    id             uuid             NOT NULL,
    account_id     uuid             NOT NULL,
    full_name      text             NOT NULL,
    phone          text             NOT NULL,
    phone_verified boolean          NOT NULL,
    address_type   text             NOT NULL,
    date_created   timestamptz(3)   NOT NULL,
    address        text             NOT NULL,
    latitude       double precision NOT NULL, -- degrees, as the geocoder found them
    longitude      double precision NOT NULL,
    CONSTRAINT contact_pkey PRIMARY KEY (id),
    -- What the profile's default refers to; it also serves the list of an account's contacts:
    -- WHERE account_id = $1 ORDER BY id.
    CONSTRAINT contact_of_account_key UNIQUE (account_id, id),
    CONSTRAINT contact_account_fkey FOREIGN KEY (account_id) REFERENCES account (id) ON DELETE CASCADE,
    CONSTRAINT contact_full_name_length CHECK (char_length(full_name) BETWEEN 1 AND 100),
    CONSTRAINT contact_phone_length CHECK (char_length(phone) BETWEEN 1 AND 30),
    CONSTRAINT contact_address_length CHECK (char_length(address) BETWEEN 1 AND 255),
    CONSTRAINT contact_address_type_known CHECK (address_type IN ('Home', 'Work')),
    CONSTRAINT contact_latitude_range CHECK (latitude BETWEEN -90 AND 90),
    CONSTRAINT contact_longitude_range CHECK (longitude BETWEEN -180 AND 180)
);

-- The default is one of the account's own contacts: the pair of both ids is what it refers to.
ALTER TABLE profile
    ADD CONSTRAINT profile_default_contact_fkey FOREIGN KEY (id, default_contact_id)
    REFERENCES contact (account_id, id) ON DELETE SET NULL (default_contact_id);

-- The foreign key above, when a contact is deleted: WHERE id = $1 AND default_contact_id = $2 is served by profile_pkey.
