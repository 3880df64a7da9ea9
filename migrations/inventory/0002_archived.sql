-- When the variant was deleted that these units are of. Nothing comes in and nothing is reserved any more; what is held or sold stays so.
ALTER TABLE stock ADD COLUMN date_archived timestamptz;
