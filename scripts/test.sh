#!/usr/bin/env bash
# scripts/test.sh: installs what is missing, builds, publishes both targets, runs every test. Ends with one line:
# N passed, N failed, N skipped.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

passed=0 failed=0 skipped=0

# run_tests PROJECT: runs a test project that is built, and adds its counts; a runner that crashed counts as one failure.
run_tests() {
  local name=$1 log=artifacts/logs/$1.log status=0 counts
  say "tests: $name"
  quietly "$log" dotnet "tests/$name/bin/Release/net10.0/$name.dll" --no-ansi --progress off || status=$?
  counts=$(awk '$1 ~ /^(succeeded|failed|skipped):$/ { n[$1] = $2 }
    END { print n["succeeded:"] + 0, n["failed:"] + 0, n["skipped:"] + 0 }' "$log")
  add_counts "$name" "$status" "$counts"
}

add_counts() {
  local name=$1 status=$2 p f s
  read -r p f s <<<"$3"
  if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
    say "$name ended with exit code $status without naming a failed test"
    f=1
  fi
  printf '   %s: %d passed, %d failed, %d skipped\n' "$name" "$p" "$f" "$s"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

require_sdk
install_missing "tests" "${packages_test[@]}"
say "restoring packages"
quietly artifacts/logs/restore.log dotnet restore IoBufferEdge.sln --locked-mode
say "building"
quietly artifacts/logs/build.log dotnet build IoBufferEdge.sln -c Release --no-restore
scripts/publish.sh linux-x64 linux-arm64
run_tests IoBufferEdge.Tests

echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
