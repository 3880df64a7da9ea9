-- What the invocations did, each time they did it, in the order of their commits as far as one waits for the other.
CREATE TABLE note (
    number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    ticket text   NOT NULL,
    what   text   NOT NULL
);
