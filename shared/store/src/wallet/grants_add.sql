-- Adds grants, one row per element of the arrays.
INSERT INTO grants (player_id, grant_id, rule_id, rule_version, period_key, evaluation_id, reward_type, asset, amount, cost,
  expected_revenue, status, balance, wagering_required, terms, issued_at, expires_at, closed_at, converted, transitions)
SELECT *
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::integer[], $5::text[], $6::uuid[], $7::text[], $8::text[], $9::numeric[],
  $10::numeric[], $11::numeric[], $12::text[], $13::numeric[], $14::numeric[], $15::json[], $16::timestamptz[],
  $17::timestamptz[], $18::timestamptz[], $19::numeric[], $20::smallint[])
