-- Rules judge the moment of the event that called them, a group is one reward, and what was paid keeps the instants it was
-- paid for.

CREATE INDEX activity_events_by_time ON activity_events (player_id, occurred_at);
CREATE INDEX activity_events_deposits ON activity_events (player_id, event_id) WHERE type = 'DEPOSIT';

ALTER TABLE reward_triggers
  ADD COLUMN entered text COLLATE "C"                   -- the segment or tier that changed; it is named with its trigger
    CHECK (entered IS NULL OR trigger IN ('SEGMENT_CHANGED', 'TIER_CHANGED'));

ALTER TABLE grants
  ADD COLUMN period_from     timestamptz,               -- of a day, week or month, as cut in the zone of then; of an entry: when
  ADD COLUMN period_until    timestamptz,
  ADD COLUMN exclusive_group text COLLATE "C",          -- the rule's: its rules share their periods
  ADD COLUMN entered         text COLLATE "C";          -- of a rule per event, the segment or tier: 'TIER_CHANGED:GOLD'

-- Keys of events lived among those of days.
UPDATE grants AS g
SET period_key = 'event:' || g.period_key
FROM rule_versions AS v
WHERE v.rule_id = g.rule_id
  AND v.version = g.rule_version
  AND v.definition ->> 'cadence' = 'PER_EVENT';

-- What was granted was cut in the zone that is set.
WITH zone AS (
  SELECT coalesce((SELECT value #>> '{}' FROM settings WHERE key = 'time_zone'), 'UTC') AS name
), cut AS (
  SELECT g.player_id, g.grant_id, c.first, c.first + c.length AS next
  FROM grants AS g
  JOIN rule_versions AS v ON v.rule_id = g.rule_id AND v.version = g.rule_version
  CROSS JOIN LATERAL (
    SELECT CASE v.definition ->> 'cadence'
        WHEN 'DAILY' THEN to_date(g.period_key, 'YYYY-MM-DD')
        WHEN 'WEEKLY' THEN to_date(g.period_key, 'IYYY-"W"IW')
        WHEN 'MONTHLY' THEN to_date(g.period_key, 'YYYY-MM')
      END::timestamp AS first,
      CASE v.definition ->> 'cadence'
        WHEN 'DAILY' THEN interval '1 day'
        WHEN 'WEEKLY' THEN interval '1 week'
        WHEN 'MONTHLY' THEN interval '1 month'
      END AS length
  ) AS c
  WHERE c.first IS NOT NULL
)
UPDATE grants AS g
SET period_from = c.first AT TIME ZONE zone.name,
  period_until = c.next AT TIME ZONE zone.name
FROM cut AS c, zone
WHERE c.player_id = g.player_id
  AND c.grant_id = g.grant_id;

-- A group could be paid several times a period until now: the first grant stands for it.
WITH first AS (
  SELECT DISTINCT ON (g.player_id, v.definition ->> 'exclusive_group', g.period_key) g.player_id, g.grant_id,
    v.definition ->> 'exclusive_group' AS exclusive_group
  FROM grants AS g
  JOIN rule_versions AS v ON v.rule_id = g.rule_id AND v.version = g.rule_version
  WHERE v.definition ->> 'exclusive_group' IS NOT NULL
  ORDER BY g.player_id, v.definition ->> 'exclusive_group', g.period_key, g.grant_id
)
UPDATE grants AS g
SET exclusive_group = f.exclusive_group
FROM first AS f
WHERE f.player_id = g.player_id
  AND f.grant_id = g.grant_id;

ALTER TABLE grants
  ADD CONSTRAINT grants_period_check CHECK (period_until IS NULL OR period_from < period_until),
  ADD CONSTRAINT grants_entered_check CHECK (entered IS NULL OR (period_from IS NOT NULL AND period_until IS NULL)),
  ADD CONSTRAINT grants_claim_check
    CHECK (rule_id IS NOT NULL OR num_nonnulls(period_from, period_until, exclusive_group, entered) = 0);
CREATE UNIQUE INDEX grants_once_per_group ON grants (player_id, exclusive_group, period_key) WHERE exclusive_group IS NOT NULL;
CREATE INDEX grants_entered ON grants (player_id, entered) WHERE entered IS NOT NULL;
