-- `append_batch` keeps the plans of its statements. Left to itself the server makes them anew with every call, since one for the arrays at hand
-- looks a little cheaper than one for any: more work than all the rest of a small batch. A plan that is kept must be good for a table that has
-- grown since, so whatever is looked up is looked up by index. A later CREATE OR REPLACE has to say the same again.
ALTER FUNCTION append_batch
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off;
