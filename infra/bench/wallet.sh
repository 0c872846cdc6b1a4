#!/usr/bin/env bash
# One wallet posting through the handler, 8 callers with a connection each, against pgbench with the statements of that
# very call, prepared, on the same server in the same run: rate, ratio and our latencies, for different players and for
# one hot player. The statements are captured from a call on the way to PostgreSQL, so the floor follows the code.
# pgbench waits for each answer before it sends the next statement; what the handler saves by sending ahead counts for it.
#   cargo local up --empty --detach && infra/bench/wallet.sh [--seconds N] [--rounds N] [--show-script]
# or on any server without TLS: DATABASE_URL=… infra/bench/wallet.sh. A scratch database is made there and dropped.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${DATABASE_URL:-}" ]; then
  set -a
  . "${LOYALTY_LOCAL_DIR:-.local}/env"
  set +a
fi
pgbench=$(command -v pgbench || ls /usr/lib/postgresql/*/bin/pgbench | tail -1)
exec cargo run --quiet --release --package bench -- --pgbench "$pgbench" "$@"
