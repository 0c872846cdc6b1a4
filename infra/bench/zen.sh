#!/usr/bin/env bash
# Compares our evaluation of the 15 sample rules with zen-engine (a decision table) and with its expression evaluator
# alone, in one process on one thread. Checks that all grant every player the same rules and amounts, then prints
# players/s of each and the ratios. The crate is outside the workspace, to keep its 500 dependencies (15 minutes for the
# first build) out of it.
#   infra/bench/zen.sh [PLAYERS]
set -euo pipefail
cd "$(dirname "$0")/zen"
exec cargo run --quiet --release --locked -- "${1:-100000}"
