-- How the planner guesses, for every session of this database, whoever pools them.
--
-- Statements are short and prepared. Compiling one by guess of its cost took a second where running it takes 15 ms, and where the
-- guess was wrong a batch of 4,000 players read whole tables: what is stored lies in memory or on SSD, where a page at random
-- costs what the next one does.
DO $$
BEGIN
  EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
  EXECUTE format('ALTER DATABASE %I SET random_page_cost = 1.1', current_database());
END
$$;
