#!/usr/bin/env bash
# scripts/run.sh: builds the gateway and runs it in the foreground on its built-in configuration, its data in ./data; Ctrl-C stops
# it. scripts/run.sh --demo: plays half a minute with a dead receiver and a killed gateway, and proves that nothing was lost.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

# The published binary where it is newer than every source file; else a plain build, which takes seconds instead of a minute.
find_or_build() {
  binary=artifacts/$(host_rid)/iobuffer
  if [ -x "$binary" ] && [ -z "$(find src Directory.* -type f -newer "$binary" -not -path '*/obj/*' -not -path '*/bin/*' -print -quit)" ]; then
    say "the gateway: $binary, as published"
    return
  fi
  say "building the gateway"
  quietly artifacts/logs/run-build.log dotnet build src/IoBufferEdge.Daemon -c Release
  binary=src/IoBufferEdge.Daemon/bin/Release/net10.0/iobuffer
}

demo() {
  say "building the demo's sender, receiver and ledger"
  quietly artifacts/logs/run-build.log dotnet build tests/IoBufferEdge.Benchmarks -c Release
  IOBUFFER_BINARY=$PWD/$binary exec dotnet tests/IoBufferEdge.Benchmarks/bin/Release/net10.0/IoBufferEdge.Benchmarks.dll demo
}

run() {
  mkdir -p data
  cat <<SCREEN

  IoBufferEdge, with the configuration that is built into it; its messages rest in $PWD/data

    where messages come out (start it now or later: until then they wait)
      TCP   nc -lk 127.0.0.1 8000
      UDP   nc -luk 127.0.0.1 8001
    where they go in (one line, one message)
      TCP   printf 'hello\n' | nc -q1 127.0.0.1 7000
      UDP   printf 'hello\n' | nc -u -q1 127.0.0.1 7001
    how it is doing
      $binary status --data data

  Try: send over TCP with nothing listening, kill -9 the gateway, start it again, then listen.
  Ctrl-C stops it.

SCREEN
  exec "$binary" run --data data
}

require_sdk
case ${1:-} in
  '') ;;
  --demo) ;;
  *) die "'$1' is not an option: scripts/run.sh [--demo]" ;;
esac
find_or_build
if [ "${1:-}" = --demo ]; then demo; fi
command -v nc >/dev/null || install_missing "trying it out with nc" netcat-openbsd
run
