#!/usr/bin/env bash
# The deterministic simulation of the whole gateway: faults, virtual time, checkers of the promise.
#   scripts/simulate.sh SEED                   replays one seed with its trace
#   scripts/simulate.sh --seeds N [--from K]   runs many and shows those that fail, with the faults they need
#   scripts/simulate.sh --crash-points [--full]  stops a scripted run at every operation in turn, and twice: sampled, or all pairs
#   scripts/simulate.sh --chain SEED           and --chain-seeds N [--from K]: the same for two or three gateways in a row
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
require_sdk
mkdir -p artifacts/logs
quietly artifacts/logs/build-simulation.log dotnet build tests/IoBufferEdge.Simulation -c Release
# Everything in a scenario dies young: a large nursery spares most collections.
export DOTNET_GCgen0size=0x4000000
exec dotnet tests/IoBufferEdge.Simulation/bin/Release/net10.0/IoBufferEdge.Simulation.dll "$@"
