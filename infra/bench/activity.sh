#!/usr/bin/env bash
# Measures events per second of POST /api/activity: batches of 500 stakes through the handler from 4 callers, for many
# players and for one hot player. The floor writes the same rows with set-based SQL over as many connections, on the
# same server in the same run.
#   cargo local up --empty --detach && infra/bench/activity.sh [--seconds N] [--rounds N] [--callers N] [--players N]
# or on any server of this machine: DATABASE_URL=… infra/bench/activity.sh. Uses a scratch database and drops it.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${DATABASE_URL:-}" ]; then
  set -a
  . "${LOYALTY_LOCAL_DIR:-.local}/env"
  set +a
fi
exec cargo run --quiet --release --package bench --bin stakes -- "$@"
