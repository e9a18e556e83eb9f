#!/usr/bin/env bash
# scripts/soak.sh [MINUTES [SEED]]: the published binary under load with destinations that come and go, an hour if nothing else is said.
# Nothing may be lost, and memory, handles and threads must stay flat. Says every half minute how it stands.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

require_sdk
scripts/publish.sh "$(host_rid)"
quietly artifacts/logs/build-benchmarks.log dotnet build tests/IoBufferEdge.Benchmarks -c Release
IOBUFFER_BINARY=artifacts/$(host_rid)/iobuffer exec dotnet tests/IoBufferEdge.Benchmarks/bin/Release/net10.0/IoBufferEdge.Benchmarks.dll \
  soak "${1:-60}" "${@:2}"
