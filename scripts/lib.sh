# Shared by the scripts beside it: where we are, what must be installed, progress lines. Sourced, never run.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the package lists are for those who source this

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1

# What building, cross-publishing and testing need on Debian 12 beside the .NET SDK.
packages_publish=(clang lld binutils zlib1g-dev)
packages_publish_arm64=(gcc-aarch64-linux-gnu binutils-aarch64-linux-gnu libc6-dev-arm64-cross)
packages_test=(procps qemu-user-static libgcc-s1-arm64-cross libstdc++6-arm64-cross shellcheck)

say() { printf '%s\n' "== $*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# install_missing REASON PACKAGE...: installs those of the Debian packages that are not there yet; asks the package
# servers only when something is missing.
install_missing() {
  local reason=$1 package missing=() as_root=()
  shift
  if ! command -v dpkg-query >/dev/null; then
    say "not a Debian system: see to it yourself that these packages are there ($reason): $*"
    return
  fi
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "Missing for $reason: run 'apt-get install ${missing[*]}' as root, then start again."
    as_root=(sudo)
  fi
  say "installing ${missing[*]} ($reason)"
  quietly artifacts/logs/apt.log "${as_root[@]}" apt-get -qq update
  quietly artifacts/logs/apt.log "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}"
}

require_sdk() {
  command -v dotnet >/dev/null ||
    die "The .NET 10 SDK is missing: install it from https://dotnet.microsoft.com/download/dotnet/10.0, then start again."
  dotnet --version >/dev/null 2>&1 ||
    die "None of the .NET SDKs here ($(dotnet --list-sdks | cut -d' ' -f1 | paste -sd' ')) is a 10.0 as global.json asks for."
}

# quietly LOG COMMAND...: runs it with its output in LOG, says every 30 s where it is, and shows LOG's end when it fails.
quietly() {
  local log=$1 started=$SECONDS watcher status=0
  shift
  mkdir -p "$(dirname "$log")"
  ( while sleep 30 &>/dev/null; do printf '   … %d s  %.100s\n' $((SECONDS - started)) "$(tail -n 1 "$log")"; done ) &
  watcher=$!
  "$@" >"$log" 2>&1 || status=$?
  kill "$watcher" 2>/dev/null
  wait "$watcher" 2>/dev/null || true
  [ $status -eq 0 ] || tail -n 60 "$log"
  return $status
}

host_rid() {
  case $(uname -m) in
    x86_64) echo linux-x64 ;;
    aarch64) echo linux-arm64 ;;
    *) die "$(uname -m) is not a processor that IoBufferEdge is built for: linux-x64 and linux-arm64 are." ;;
  esac
}
