-- What the invocations did, each time they did it.
CREATE TABLE note (
    ticket text NOT NULL,
    what   text NOT NULL
);
