-- The base categories are for search to find, as every listing is: an indexer finds what it has to read here.
INSERT INTO search_sync (ref_type, ref_id, is_stale_embedding, is_stale_metadata, date_created, date_updated)
SELECT 'Category', id, true, true, now(), now() FROM category
ON CONFLICT (ref_type, ref_id) DO NOTHING;
