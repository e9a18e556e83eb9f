#!/usr/bin/env bash
# scripts/publish.sh [linux-x64|linux-arm64 ...]: the trimmed NativeAOT binary and the store's library in artifacts/<rid>/,
# debug symbols in artifacts/<rid>/symbols/. Without an argument: for this machine. A trim or AOT warning is a failure.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

publish() {
  local rid=$1 target=artifacts/$1 log=artifacts/logs/publish-$1.log output cross=()
  output=src/IoBufferEdge.Daemon/bin/Release/net10.0/$rid/publish
  install_missing "native compilation" "${packages_publish[@]}"
  if [ "$rid" = linux-arm64 ] && [ "$(host_rid)" = linux-x64 ]; then
    install_missing "compilation for arm64" "${packages_publish_arm64[@]}"
    cross=(-p:SysRoot= -p:LinkerFlavor=lld -p:CppCompilerAndLinker=clang -p:ObjCopyName=aarch64-linux-gnu-objcopy)
  fi
  say "publishing $rid"
  # Restored for both targets at once, because one lock file serves both; a restore for one alone would not fit it.
  quietly "$log" dotnet restore src/IoBufferEdge.Daemon
  quietly "$log" dotnet publish src/IoBufferEdge.Daemon -c Release -r "$rid" --no-restore "${cross[@]}"
  if grep -E 'warning (IL|AOT)?[0-9A-Z]+' "$log"; then die "publishing $rid gave the warnings above; it must give none."; fi

  mkdir -p "$target/symbols"
  find "$target" -mindepth 1 -maxdepth 1 ! -name symbols -exec rm -r {} +
  install -m 755 "$output/iobuffer" "$target/iobuffer"
  install -m 644 "$output/librocksdb.so" "$target/librocksdb.so"
  install -m 644 "$output/iobuffer.dbg" "$target/symbols/iobuffer.dbg"
  printf '   %s: iobuffer %s, librocksdb.so %s\n' "$target" "$(megabytes "$target/iobuffer")" "$(megabytes "$target/librocksdb.so")"
  if [ "$rid" = "$(host_rid)" ]; then measure "$target/iobuffer"; fi
}

megabytes() { awk -v bytes="$(stat -c %s "$1")" 'BEGIN { printf "%.1f MB", bytes / 1e6 }'; }

# Start time (until the gateway answers on its control socket) and idle memory (PSS after 3 s), with no channel configured.
measure() {
  local folder pid started ready
  folder=$(mktemp -d)
  echo '{ "schema_version": 1, "channels": [] }' >"$folder/config.json"
  started=$(date +%s%3N)
  "$1" run --config "$folder/config.json" --data "$folder/data" >"$folder/log" 2>&1 &
  pid=$!
  until [ -S "$folder/data/control.sock" ]; do
    kill -0 $pid 2>/dev/null || die "$1 ended at its start: $(tail -n 5 "$folder/log")"
    [ $(($(date +%s%3N) - started)) -lt 20000 ] || die "$1 has no control socket after 20 s: $(tail -n 5 "$folder/log")"
    sleep 0.005
  done
  ready=$(($(date +%s%3N) - started))
  sleep 3
  printf '   starts in %d ms, idle memory (PSS) %s\n' "$ready" \
    "$(awk '/^Pss:/ { printf "%.1f MB", $2 / 1000 }' "/proc/$pid/smaps_rollup")"
  kill $pid
  wait $pid || die "$1 ended with exit code $? when it was asked to stop: $(tail -n 5 "$folder/log")"
  rm -r "$folder"
}

require_sdk
for rid in "${@:-$(host_rid)}"; do
  case $rid in
    linux-x64 | linux-arm64) publish "$rid" ;;
    *) die "'$rid' is not a target: linux-x64 or linux-arm64." ;;
  esac
done
