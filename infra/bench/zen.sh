#!/usr/bin/env bash
# The 15 rules of the sample over the same players by our evaluation, by zen-engine (a decision table) and by its evaluator of
# expressions alone, in one process on one thread: checks that all give the same rules and amounts to every player, then prints
# players/s of each and the ratios. The crate stands outside the workspace: what it brings (some 500 crates; the first build
# takes a quarter of an hour) is no dependency of ours.
#   infra/bench/zen.sh [PLAYERS]
set -euo pipefail
cd "$(dirname "$0")/zen"
exec cargo run --quiet --release --locked -- "${1:-100000}"
