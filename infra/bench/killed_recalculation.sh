#!/usr/bin/env bash
# Checks that a recalculation of all players completes after two crashes: first of its workers, while messages wait in
# the queues, then of the whole stack including queues and PostgreSQL, so that recovery has to send every lost message
# again. Prints each check and fails on the first that does not hold. Stops and starts the stack of this workspace.
#   infra/bench/killed_recalculation.sh [PLAYERS] [PORT] [--release]
set -euo pipefail
cd "$(dirname "$0")/../.."
players=${1:-200000} port=${2:-8000} profile=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '%5d s  %s\n' "$SECONDS" "$*"; }
environment() { set -a; . .local/env; set +a; }
api() { curl -fsS -H "Authorization: Bearer $API_KEY" -H 'Content-Type: application/json' "$@"; }
sql() { psql -qXAt "$DATABASE_URL" -c "$1"; }
check() {
  if [ "$2" != "$3" ]; then
    say "WRONG  $1: $2, not $3"
    exit 1
  fi
  say "holds  $1: $2"
}
up() {
  cargo local up $profile --empty --detach --port "$port" >"$work/up.log" 2>&1 || { cat "$work/up.log"; exit 1; }
  environment
}
processes() { python3 -c 'import json, sys
for name, process in json.load(open(".local/processes.json")).items():
    if any(word in name for word in sys.argv[1:]) or len(sys.argv) == 1: print(process["pid"])' "$@"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
of_run() { sql "SELECT $1 FROM runs WHERE run_id = '$run'"; }
shards_done() { of_run shards_done; }
until_done() { until [ "$(shards_done)" -ge "$1" ]; do sleep 0.2; done; }

cargo local down >"$work/down.log" 2>&1 || true
up
python3 infra/bench/make_players.py "$players" >"$work/players.csv"
python3 -c 'import json; [print(json.dumps(rule)) for rule in json.load(open("events/sample/rules.json"))]' |
  while read -r rule; do api -X POST -d "$rule" "$API_URL/api/rules" >/dev/null 2>&1 || true; done
say "importing $players players"
cargo local drop "$work/players.csv" >"$work/drop.log" 2>&1 || { cat "$work/drop.log"; exit 1; }
grep '  run ' "$work/drop.log"
# Deletes the segments and adds a rule for everybody, so that every player is segmented and rewarded again.
sql "DELETE FROM segment_history; DELETE FROM player_segments;
  DELETE FROM stats WHERE counter LIKE 'segment:%'" >/dev/null
api -X POST -d '{"rule_id": "KILLED_'"$(date +%s)"'", "name": "One point for everybody", "priority": 1000,
  "is_active": true, "trigger": ["RECALCULATION"], "conditions": {"total_wagered_min": 0},
  "reward_config": {"type": "LOYALTY_POINTS", "amount": 1}}' "$API_URL/api/rules" | field rule_id >"$work/rule"
players=$(sql 'SELECT count(*) FROM players')

since=$(sql 'SELECT now()')
say "cargo local tick recalculate"
cargo local tick recalculate >"$work/tick.log" 2>&1 &
started="SELECT run_id FROM schedule_runs WHERE job = 'recalculate' AND created_at > '$since'"
until run=$(sql "$started") && [ -n "$run" ]; do sleep 0.1; done
shards=$(of_run shards_total)
until_done $((shards / 5))
say "SIGKILL to the workers at $(shards_done) of $shards shards"
processes segmentation-worker reward-worker | xargs -r kill -9
until_done $((shards / 2))
say "SIGKILL to the whole stack at $(shards_done) of $shards shards"
processes | xargs -r kill -9
wait || true
up
segmented=$(sql "SELECT count(*) FROM run_shards WHERE run_id = '$run' AND segmented_at IS NOT NULL")
say "up again: $(shards_done) of $shards shards, $segmented segmented; the queues are empty"
stood=$(shards_done)
until [ "$(of_run status)" != RUNNING ]; do
  [ "$SECONDS" -lt 3000 ] || { say "WRONG  the run is not over"; exit 1; }
  sleep 1
done

say "over; sent again $(of_run resends) times, the last at $(of_run resent_at)"
[ "$stood" -lt "$shards" ] || { say "WRONG  nothing was left to recover"; exit 1; }
check "status" "$(of_run status)" COMPLETED
check "shards done" "$(shards_done)" "$shards"
check "recalculations that this made" "$(sql "SELECT count(*) FROM schedule_runs WHERE run_id = '$run'")" 1
check "players of its shards" "$(sql "SELECT sum(players) FROM run_shards WHERE run_id = '$run'")" "$players"
check "players with a segment" "$(sql 'SELECT count(*) FROM player_segments')" "$players"
check "segments changed" "$(sql "SELECT sum(segments_changed) FROM run_shards WHERE run_id = '$run'")" "$players"
check "first classifications in the history" "$(sql 'SELECT count(*) FROM segment_history')" "$players"
check "players with two grants of the rule" "$(sql "SELECT count(*) FROM (
  SELECT player_id FROM grants WHERE rule_id = '$(cat "$work/rule")'
  GROUP BY player_id HAVING count(*) > 1) AS twice")" 0
check "grants of the run" "$(sql "SELECT count(*) FROM grants g
  JOIN reward_decisions d USING (player_id, evaluation_id) WHERE d.run_id = '$run'")" \
  "$(sql "SELECT sum(granted) FROM run_shards WHERE run_id = '$run'")"
cargo local audit | tail -1
