-- An operator can complete a promise. Its record names the promise; the invocation is the one that the promise belongs to, and no fence
-- of it was written.
ALTER TABLE audit ADD COLUMN promise_id uuid;

DROP INDEX audit_fence;

-- SELECT … WHERE invocation_id = $1 AND id < $2 ORDER BY id DESC: what was said of one. And a fence is one word's.
CREATE UNIQUE INDEX audit_fence ON audit (invocation_id, entry_index) WHERE verb NOT IN ('restart', 'complete-promise');

-- SELECT component FROM workflow WHERE function = $1 AND id = $2: a workflow whose component an operator does not name.
CREATE INDEX workflow_function ON workflow (function, id);

-- A promise is completed once.
CREATE UNIQUE INDEX audit_promise ON audit (promise_id) WHERE promise_id IS NOT NULL;
