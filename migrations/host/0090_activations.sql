-- Revisions that operators put in the place of files. A node runs, for each component, the newest of these that stands in for the file it
-- was started with, else that file: a restart keeps an operator's swap, a release that brings another file overrides it, and while
-- nodes with two builds run, each swap concerns those whose file it was made for.
CREATE TABLE activation (
    sequence     bigint      NOT NULL GENERATED ALWAYS AS IDENTITY, -- in the order of commits: whoever inserts holds the table
    component    text        NOT NULL,
    replaces     bytea       NOT NULL, -- the file it stands in for
    revision     bytea       NOT NULL, -- may be the file itself: a swap that was taken back
    below        bigint,               -- what a rollback goes back to; none: the file
    activated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT activation_pkey PRIMARY KEY (sequence),
    CONSTRAINT activation_below_is_earlier CHECK (below < sequence),
    CONSTRAINT activation_below_fkey FOREIGN KEY (below) REFERENCES activation (sequence),
    CONSTRAINT activation_replaces_fkey FOREIGN KEY (replaces) REFERENCES revision (digest),
    CONSTRAINT activation_revision_fkey FOREIGN KEY (revision) REFERENCES revision (digest)
);

-- SELECT … WHERE component = $1 AND replaces = $2 ORDER BY sequence DESC LIMIT 1: what stands in for a file.
CREATE INDEX activation_newest ON activation (component, replaces, sequence);

-- SELECT component FROM deployment_component WHERE revision = $1: whose bytes these are.
CREATE INDEX deployment_component_revision ON deployment_component (revision, component);

-- The sequence up to which a node has done what operators said: its new invocations run on that. None while it starts, and none of a
-- node that is older than this column.
ALTER TABLE node ADD COLUMN activation bigint;
-- Why it cannot go further.
ALTER TABLE node ADD COLUMN activation_error text;
