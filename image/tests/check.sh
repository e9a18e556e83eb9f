#!/usr/bin/env bash
# Shared by the image's tests: each check is one line, "pass" or "FAIL"; totals counts them as the test runner does. Sourced, never run.
# shellcheck shell=bash
set -euo pipefail
succeeded=0 failed=0 skipped=0
check() { # check NAME COMMAND...
  local name=$1 out
  shift
  if out=$("$@" 2>&1); then
    succeeded=$((succeeded + 1))
    printf 'pass  %s (%d s)\n' "$name" $SECONDS
  else
    failed=$((failed + 1))
    printf 'FAIL  %s: %s\n' "$name" "$(tail -n 5 <<<"$out")"
  fi
}
# within SECONDS COMMAND...: until it succeeds.
within() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || { echo "not within its time: $*"; "$@"; return 1; }
    sleep 0.5
  done
}
skip() { # skip NAME REASON
  skipped=$((skipped + 1))
  printf 'skip  %s: %s\n' "$1" "$2"
}
totals() {
  printf '  total: %d\n  failed: %d\n  succeeded: %d\n  skipped: %d\n' $((succeeded + failed + skipped)) $failed $succeeded $skipped
  [ $failed -eq 0 ]
}
