-- Promises that were handed out, by the name the test gave them.
CREATE TABLE ticket (
    name    text NOT NULL PRIMARY KEY,
    promise text NOT NULL
);

-- What the invocations did, each time they did it.
CREATE TABLE note (
    ticket text NOT NULL,
    what   text NOT NULL
);
