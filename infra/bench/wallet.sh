#!/usr/bin/env bash
# Measures wallet postings through the handler, with 8 callers on a connection each, against pgbench with the prepared
# statements of the same call, on the same server in the same run. Prints rates, their ratio and the handler's
# latencies, for different players and for one hot player. The statements are captured from a real call, so the floor
# follows the code. pgbench waits for each response before the next statement, so pipelining counts in the handler's
# favour.
#   cargo local up --empty --detach && infra/bench/wallet.sh [--seconds N] [--rounds N] [--show-script]
# or on any server of this machine: DATABASE_URL=… infra/bench/wallet.sh. Uses a scratch database and drops it.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${DATABASE_URL:-}" ]; then
  set -a
  . "${LOYALTY_LOCAL_DIR:-.local}/env"
  set +a
fi
exec cargo run --quiet --release --package bench --bin postings -- "$@"
