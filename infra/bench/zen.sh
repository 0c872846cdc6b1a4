#!/usr/bin/env bash
# The 15 rules of the sample over the same players by our evaluation and by zen-expression, the part of zen-engine that
# computes conditions and amounts, in one process on one thread: checks that both give the same rules and amounts to every
# player, then prints players/s of each and the ratio. The crate stands outside the workspace: what it brings is no
# dependency of ours.
#   infra/bench/zen.sh [PLAYERS]
set -euo pipefail
cd "$(dirname "$0")/zen"
exec cargo run --quiet --release --locked -- "${1:-100000}"
