#!/usr/bin/env bash
# scripts/bench.sh [--quick] [--only PART,…]: publishes the gateway and the load tools, runs the benchmark against the bare relay, prints
# its table (progress goes to standard error). The last whole run's figures, from artifacts/bench/latest.json, have a column in it.
# About a quarter of an hour; --quick: two minutes. With --quick, with --only, or when a part failed, nothing is kept for the next run.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

project=tests/IoBufferEdge.Benchmarks
require_sdk

# Busy and all processor time so far, in ticks; what waits for a disk is idle.
ticks() { awk '$1 == "cpu" { all = 0; for (i = 2; i <= 9; i++) all += $i; print all - $5 - $6, all }' /proc/stat; }
read -r busy_before all_before < <(ticks)
sleep 2
read -r busy all < <(ticks)
busy_percent=$(( (busy - busy_before) * 100 / (all - all_before) ))

scripts/publish.sh "$(host_rid)" >&2
say "publishing the load tools" >&2
quietly artifacts/logs/publish-benchmarks.log dotnet restore $project >&2
quietly artifacts/logs/publish-benchmarks.log dotnet publish $project -c Release -r "$(host_rid)" --no-restore >&2
IOBUFFER_BINARY=artifacts/$(host_rid)/iobuffer exec "$project/bin/Release/net10.0/$(host_rid)/publish/IoBufferEdge.Benchmarks" bench --busy "$busy_percent" "$@"
