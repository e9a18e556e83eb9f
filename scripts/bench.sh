#!/usr/bin/env bash
# scripts/bench.sh [--quick]: publishes the gateway and the load tools, runs the benchmark against the bare relay, prints its table
# (progress goes to standard error) and leaves it in artifacts/bench/latest.json. About ten minutes; --quick: one.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

project=tests/IoBufferEdge.Benchmarks
require_sdk
scripts/publish.sh "$(host_rid)" >&2
say "publishing the load tools" >&2
quietly artifacts/logs/publish-benchmarks.log dotnet restore $project >&2
quietly artifacts/logs/publish-benchmarks.log dotnet publish $project -c Release -r "$(host_rid)" --no-restore >&2
IOBUFFER_BINARY=artifacts/$(host_rid)/iobuffer exec "$project/bin/Release/net10.0/$(host_rid)/publish/IoBufferEdge.Benchmarks" bench "$@"
