-- What a node opens at most, all its pools together. A node that starts adds up what the others said (durability.md 3.6).
-- None of a node that is older than this column: it counts as much as the one that asks.
ALTER TABLE node ADD COLUMN connections integer;
