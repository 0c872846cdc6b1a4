#!/usr/bin/env bash
# Measures the seconds of a rule simulation over players in a scratch database: the median of three runs.
#   DATABASE_URL=… infra/bench/simulate.sh [PLAYERS]
# Needs a server of this machine and a role that may create databases and roles.
set -euo pipefail
cd "$(dirname "$0")/../.."
db="simulate_$$"
psql -qX "$DATABASE_URL" -c "CREATE DATABASE $db"
trap 'psql -qX "$DATABASE_URL" -c "DROP DATABASE $db WITH (FORCE)"' EXIT
scratch=$(sed -E "s#/[^/?]*(\?|\$)#/$db\1#" <<<"$DATABASE_URL")
cargo run --quiet --release --package bench --bin simulate -- --database "$scratch" --players "${1:-1000000}"
