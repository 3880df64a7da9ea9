-- Words about a component: `activate` and `rollback`. They speak of no invocation. Nodes of the version before read this table too and
-- expect an id: it is nil, and the index of a fence is 0.
ALTER TABLE audit ADD COLUMN component text;
ALTER TABLE audit ADD COLUMN revision bytea;
ALTER TABLE audit ADD CONSTRAINT audit_of_component_or_invocation
    CHECK ((component IS NULL) = (invocation_id <> '00000000-0000-0000-0000-000000000000')) NOT VALID;
ALTER TABLE audit VALIDATE CONSTRAINT audit_of_component_or_invocation;

DROP INDEX audit_fence;

-- SELECT … WHERE invocation_id = $1 AND id < $2 ORDER BY id DESC: what was said of one. And a fence is one word's.
CREATE UNIQUE INDEX audit_fence ON audit (invocation_id, entry_index)
    WHERE verb NOT IN ('restart', 'complete-promise') AND component IS NULL;
