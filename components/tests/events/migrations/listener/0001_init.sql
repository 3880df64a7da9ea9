-- It tells nothing; the guest is the same.
CREATE TABLE told (
    key   text   NOT NULL PRIMARY KEY,
    count bigint NOT NULL
);

-- What it was told, each time it was told it, in the order in which it was.
CREATE TABLE heard (
    number       bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    event        text   NOT NULL,
    subscription text   NOT NULL,
    topic        text   NOT NULL,
    key          text   NOT NULL,
    content      text   NOT NULL
);

-- How it takes what it is told of a key.
CREATE TABLE mood (
    key  text NOT NULL PRIMARY KEY,
    mood text NOT NULL
);
