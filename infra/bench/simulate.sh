#!/usr/bin/env bash
# Seconds that a simulation of a rule takes, for players made in a scratch database: the median of three.
#   DATABASE_URL=… infra/bench/simulate.sh [PLAYERS]
# on a server without TLS, as a role that may create databases and roles.
set -euo pipefail
cd "$(dirname "$0")/../.."
db="simulate_$$"
psql -qX "$DATABASE_URL" -c "CREATE DATABASE $db"
trap 'psql -qX "$DATABASE_URL" -c "DROP DATABASE $db WITH (FORCE)"' EXIT
scratch=$(sed -E "s#/[^/?]*(\?|\$)#/$db\1#" <<<"$DATABASE_URL")
cargo run --quiet --release --package bench --bin simulate -- --database "$scratch" --players "${1:-1000000}"
