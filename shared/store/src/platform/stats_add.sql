-- Adds to counters in the order of their names; $1 names them once each, $2 is the slot.
INSERT INTO stats AS kept (counter, slot, value)
SELECT delta.counter, $2::smallint, delta.value
FROM UNNEST($1::text[], $3::numeric[]) AS delta (counter, value)
ORDER BY delta.counter
ON CONFLICT (counter, slot) DO UPDATE
SET value = kept.value + EXCLUDED.value
