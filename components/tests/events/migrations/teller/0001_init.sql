-- How often was told of a key.
CREATE TABLE told (
    key   text   NOT NULL PRIMARY KEY,
    count bigint NOT NULL
);

-- What it would be told itself; it subscribes to nothing.
CREATE TABLE heard (
    number       bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    event        text   NOT NULL,
    subscription text   NOT NULL,
    topic        text   NOT NULL,
    key          text   NOT NULL,
    content      text   NOT NULL
);

CREATE TABLE mood (
    key  text NOT NULL PRIMARY KEY,
    mood text NOT NULL
);
