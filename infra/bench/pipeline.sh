#!/usr/bin/env bash
# Measures one file through the running stack against the floor: as many rows and grants, written with plain SQL on the
# same server in the same run. Prints the seconds of each stage, players/s, each worker's peak memory, and the ratio.
#   cargo local up --release --empty --detach && infra/bench/pipeline.sh [PLAYERS]
set -euo pipefail
cd "$(dirname "$0")/../.."
players=${1:-1000000}
set -a
. .local/env
set +a
api() { curl -fsS -H "Authorization: Bearer $API_KEY" -H 'Content-Type: application/json' "$@"; }
field() { python3 -c 'import json, sys; value = json.load(sys.stdin)
for key in sys.argv[1].split("."): value = value[int(key)] if key.isdigit() else value[key]
print(value)' "$1"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 infra/bench/make_players.py "$players" >"$work/players.csv"

# Creates the sample rules that are missing.
python3 -c 'import json; [print(json.dumps(rule)) for rule in json.load(open("events/sample/rules.json"))]' |
  while read -r rule; do api -X POST -d "$rule" "$API_URL/api/rules" >/dev/null 2>&1 || true; done

name="bench-$(date +%s).csv"
started=$(date +%s.%N)
credential="Credential=local/20260101/local/s3/aws4_request"
curl -fsS -X PUT -T "$work/players.csv" \
  -H "Authorization: AWS4-HMAC-SHA256 $credential, SignedHeaders=host, Signature=0" \
  "$AWS_ENDPOINT_URL/$IMPORT_BUCKET/$name"
uploaded=$(date +%s.%N)
until import=$(api "$API_URL/api/imports?object_key=$name" | field 0.import_id 2>/dev/null) &&
  [ "$(api "$API_URL/api/imports/$import" | field status)" != RUNNING ]; do sleep 0.5; done
imported=$(date +%s.%N)
run=$(api "$API_URL/api/imports/$import" | field run_id)
until [ "$(api "$API_URL/api/runs/$run" | field status)" != RUNNING ]; do sleep 0.5; done
ended=$(date +%s.%N)
api "$API_URL/api/imports/$import" >"$work/import.json"
api "$API_URL/api/runs/$run" >"$work/run.json"
grants=$(field rewards_issued <"$work/run.json")

awk -v s="$started" -v u="$uploaded" -v i="$imported" -v e="$ended" -v n="$players" 'BEGIN {
  printf "upload %.1f s, import %.1f s, segments and rewards %.1f s\n", u - s, i - u, e - i
  printf "file in bucket to last grant: %.1f s, %.0f players/s\n", e - u, n / (e - u) }'
for worker in import-worker segmentation-worker reward-worker; do
  for pid in $(pgrep -x "${worker:0:15}"); do
    awk -v w="$worker" '/VmHWM/ { printf "%-20s peak %.0f MiB\n", w, $2 / 1024 }' "/proc/$pid/status"
  done
done
python3 -c 'import json, sys; i, r = (json.load(open(p)) for p in sys.argv[1:])
print("import:", {k: i[k] for k in i if k.startswith(("total", "players", "rows")) or k == "status"})
keys = ("status", "players", "players_matched", "rewards_issued", "rewards_reduced", "rewards_refused")
print("run:", {k: r[k] for k in keys})' "$work/import.json" "$work/run.json"

infra/bench/floor.sh "$DATABASE_URL" "$work/players.csv" "$grants" | tee "$work/floor.txt"
awk -v u="$uploaded" -v e="$ended" '/^floor/ { printf "ratio %.2f\n", (e - u) / $2 }' "$work/floor.txt"
