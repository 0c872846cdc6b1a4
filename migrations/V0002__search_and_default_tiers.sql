-- What lists of players and rewards are searched by, and the ladder an empty program starts with.

-- Players whose email begins with a text, in any case. Not partial, and of the bare expression: only so does
-- PostgreSQL use its statistics to tell a rare beginning from a common one.
CREATE INDEX players_by_email ON players (lower(email) text_pattern_ops);

-- The players of a tier, in order; also whether a tier has any, before it is deleted.
CREATE INDEX players_by_tier ON players (tier, player_id);

-- Most players are active: only the others need an index to be found.
CREATE INDEX players_inactive ON players (player_id) WHERE NOT is_active;

-- ACTIVE and COMPLETED rewards are everywhere; an index on the rare ends costs nothing when rewards are issued.
CREATE INDEX grants_by_rare_status ON grants (status, grant_id) WHERE status NOT IN ('ACTIVE', 'COMPLETED');

INSERT INTO tiers (tier_level, lp_min, benefits)
VALUES
  ('BRONZE', 0, '{"cashback_multiplier": 1.0, "lp_multiplier": 1.0}'),
  ('SILVER', 1000, '{"cashback_multiplier": 1.2, "lp_multiplier": 1.1}'),
  ('GOLD', 10000, '{"cashback_multiplier": 1.5, "lp_multiplier": 1.25, "tournaments": true}'),
  ('PLATINUM', 50000, '{"cashback_multiplier": 2.0, "lp_multiplier": 1.5, "tournaments": true, "vip_perks": true}');
