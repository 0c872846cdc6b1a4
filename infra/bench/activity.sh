#!/usr/bin/env bash
# Events a second of POST /api/activity: batches of 500 stakes through the handler, 4 callers, against a set-based floor that
# writes the same rows with the same number of connections, on the same server in the same run; for stakes of many players
# and for those of one hot player.
#   cargo local up --empty --detach && infra/bench/activity.sh [--seconds N] [--rounds N] [--callers N] [--players N]
# or on any server without TLS: DATABASE_URL=… infra/bench/activity.sh. A scratch database is made there and dropped.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${DATABASE_URL:-}" ]; then
  set -a
  . "${LOYALTY_LOCAL_DIR:-.local}/env"
  set +a
fi
exec cargo run --quiet --release --package bench --bin activity -- "$@"
