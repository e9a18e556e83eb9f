#!/usr/bin/env bash
# scripts/test.sh [--quick|--image|--full]: installs what is missing, builds, publishes both targets, runs every test. --quick leaves the VM lab
# out, whose kernel is built once (about five minutes). --image adds the flashable image (half an hour more). --full adds the long form of that and the
# long loops (500 kill -9, 500 power cuts behind a kill, 200 faults of the disk, 1,000 flipped bits and other damage to a store, 100 dead receivers, 100
# orderly ends, 200 kills in a row of three gateways and as many with disks that are wiped and put back, 100 kills of the broker, a million wrong
# requests, five minutes of soak, the Debian package under systemd, 10,000 RS485 frames a case in the lab) and ten times the seeds.
# Ends with one line: N passed, N failed, N skipped.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

case ${1:-} in
  '' | --quick | --image) seeds=1000 chains=150 lab_frames=200 lab_limit_s=900 ;;
  --full) seeds=10000 chains=2000 lab_frames=10000 lab_limit_s=3600 ;;
  *) die "'$1' is not an option: scripts/test.sh [--quick|--image|--full]" ;;
esac

passed=0 failed=0 skipped=0

# run_tests PROJECT: runs a test project that is built, and adds its counts; a runner that crashed counts as one failure.
run_tests() {
  local name=$1 log=artifacts/logs/$1.log status=0 counts
  say "tests: $name"
  quietly "$log" dotnet "$(dll "$name")" --no-ansi --progress off || status=$?
  add_counts "$name" "$status" "$(count_tests "$log")"
}

# count_tests LOG: passed, failed and skipped, of every run in it.
count_tests() {
  awk '$1 ~ /^(succeeded|failed|skipped):$/ { n[$1] += $2 } END { print n["succeeded:"] + 0, n["failed:"] + 0, n["skipped:"] + 0 }' "$1"
}

# skip NAME REASON: the whole of it counts as one skip.
skip() {
  say "skipped: $1 ($2)"
  add_counts "$1" 0 "0 0 1"
}

# add_or_skip NAME STATUS LOG COUNTS: exit code 75 means that it can't run here; why, the log's last line says.
add_or_skip() {
  if [ "$2" -eq 75 ]; then skip "$1" "$(tail -n 1 "$3")"; else add_counts "$1" "$2" "$4"; fi
}

# runs_lab NAME: false, and a skip, where the lab's kernel does not run.
runs_lab() {
  [ "$(uname -m)" = x86_64 ] || { skip "$1" "its kernel runs on x86_64 alone" && false; }
}

# run_lab: what needs simulated hardware, in the VM lab.
run_lab() {
  local log=artifacts/logs/vm-lab.log status=0
  runs_lab "VM lab" || return 0
  say "VM lab"
  LAB_FRAMES=$lab_frames LAB_LIMIT_S=$lab_limit_s quietly "$log" tests/vm-lab/run.sh || status=$?
  add_or_skip "VM lab" "$status" "$log" "$(count_tests "$log")"
}

# run_service_lab: the Debian package on a Debian with systemd, in the lab's kernel; the whole of it counts as one test.
run_service_lab() {
  local log=artifacts/logs/vm-lab-service.log status=0
  runs_lab "package in the VM lab" || return 0
  say "package in the VM lab"
  quietly "$log" tests/vm-lab/service.sh || status=$?
  add_or_skip "package in the VM lab" "$status" "$log" "$((status == 0)) $((status != 0)) 0"
}

# run_image [--full]: the flashable image: built, booted, updated, cut off from its power.
run_image() {
  local log=artifacts/logs/image-test.log status=0
  say "image"
  image/build.sh && quietly "$log" image/test.sh "$@" || status=$?
  add_or_skip image "$status" "$log" "$(count_tests "$log")"
}

# run_seeds COUNT: the simulation's first COUNT seeds; each seed counts as one test.
run_seeds() {
  local log=artifacts/logs/simulation.log status=0 counts
  say "simulation: $1 seeds"
  DOTNET_GCgen0size=0x4000000 quietly "$log" dotnet "$(dll IoBufferEdge.Simulation)" --seeds "$1" || status=$?
  counts=$(awk '/^[0-9]+ seeds, / { seeds = $1; failed = $(NF - 1) } END { print seeds - failed, failed + 0, 0 }' "$log")
  add_counts simulation "$status" "$counts"
}

# run_chains COUNT: the simulation of gateways in a row; each seed counts as one test.
run_chains() {
  local log=artifacts/logs/chains.log status=0 counts
  say "simulation: $1 chains of gateways"
  DOTNET_GCgen0size=0x4000000 quietly "$log" dotnet "$(dll IoBufferEdge.Simulation)" --chain-seeds "$1" || status=$?
  counts=$(awk '/^[0-9]+ chains, / { chains = $1; failed = $(NF - 1) } END { print chains - failed, failed + 0, 0 }' "$log")
  add_counts chains "$status" "$counts"
}

# run_crash_points [--full]: each crash point of the simulation's scripted run, alone and with a second one, counts as one test.
run_crash_points() {
  local log=artifacts/logs/crash-points.log status=0 counts
  say "simulation: every crash point"
  DOTNET_GCgen0size=0x4000000 quietly "$log" dotnet "$(dll IoBufferEdge.Simulation)" --crash-points "$@" || status=$?
  counts=$(awk '/^[0-9]+ crash points, / { tried = $1; failed = $(NF - 1) } END { print tried - failed, failed + 0, 0 }' "$log")
  add_counts "crash points" "$status" "$counts"
}

# run_loop VERB COUNT: one of the long loops of the load tools against the published binary; the whole loop counts as one test.
run_loop() {
  local log=artifacts/logs/$1.log status=0
  say "$1 $2"
  quietly "$log" dotnet "$(dll IoBufferEdge.Benchmarks)" "$1" "$2" || status=$?
  add_counts "$1" "$status" "$((status == 0)) $((status != 0)) 0"
}

dll() { echo "tests/$1/bin/Release/net10.0/$1.dll"; }

add_counts() {
  local name=$1 status=$2 p f s
  read -r p f s <<<"$3"
  if { [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; } || [ $((p + f + s)) -eq 0 ]; then
    say "$name ended with exit code $status, having run $((p + s)) tests and named no failed one"
    f=1
  fi
  printf '   %s: %d passed, %d failed, %d skipped\n' "$name" "$p" "$f" "$s"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

require_sdk
install_missing "tests" "${packages_test[@]}"
unpack_missing artifacts/peers "${packages_peers[@]}"
say "restoring packages"
quietly artifacts/logs/restore.log dotnet restore IoBufferEdge.sln --locked-mode
say "building"
quietly artifacts/logs/build.log dotnet build IoBufferEdge.sln -c Release --no-restore
scripts/publish.sh linux-x64 linux-arm64
IOBUFFER_BINARY=$PWD/artifacts/$(host_rid)/iobuffer
export IOBUFFER_BINARY
run_tests IoBufferEdge.Tests
run_seeds $seeds
run_chains $chains
if [ "${1:-}" = --full ]; then run_crash_points --full; else run_crash_points; fi
run_tests IoBufferEdge.SystemTests
if [ "${1:-}" = --quick ]; then
  skip "VM lab" --quick
else
  run_lab
fi
if [ "${1:-}" = --image ]; then run_image; fi
if [ "${1:-}" = --full ]; then
  run_service_lab
  run_image --full
  run_loop kill-loop 500
  run_loop cut-loop 500
  run_loop fault-loop 200
  run_loop flip-loop 1000
  run_loop damage-loop 10
  run_loop reset-loop 100
  run_loop close-loop 100
  run_loop chain-loop 200
  run_loop broker-loop 100
  run_loop mangle-loop 1000000
  run_loop soak 5
fi

echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
