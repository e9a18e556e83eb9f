# Shared by the scripts beside it: where we are, what must be installed, progress lines. Sourced, never run.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the package lists are for those who source this

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1

# What building, cross-publishing and testing need on Debian 12 beside the .NET SDK.
packages_publish=(clang lld binutils zlib1g-dev)
packages_publish_arm64=(gcc-aarch64-linux-gnu binutils-aarch64-linux-gnu libc6-dev-arm64-cross)
packages_test=(procps qemu-user-static libgcc-s1-arm64-cross libstdc++6-arm64-cross shellcheck gcc libc6-dev libmodbus-dev device-tree-compiler
  socat libestr0 libfastjson4 libivykis0 libnet1 libglib2.0-0 libpcre3 libwrap0 libcap2 libssl3 libgensio4 libyaml-0-2
  libmosquitto1 libcjson1 libdlt2)
# What the kernel of the VM lab is built with, beside gcc.
packages_vm_lab=(make patch flex bison bc xz-utils)
# Services that are peers of the gateway in tests, unpacked and never installed: two of them exclude one another, and none of them is to
# run on the machine that tests. The libraries that they load are in the line above.
packages_peers=(rsyslog syslog-ng-core ser2net mosquitto mosquitto-clients)

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

# unpack_missing FOLDER PACKAGE...: unpacks those of the Debian packages that are not in the folder yet, without installing them.
unpack_missing() {
  local folder=$1 package downloads
  shift
  command -v apt-get >/dev/null || { say "not a Debian system: tests with $* are skipped"; return 0; }
  mkdir -p artifacts/logs
  for package in "$@"; do
    [ ! -e "$folder/.$package" ] || continue
    say "unpacking $package into $folder"
    downloads=$(mktemp -d)
    # A machine that has never asked for package lists knows no package yet.
    apt-cache show "$package" >/dev/null 2>&1 || quietly artifacts/logs/apt.log apt-get -qq update
    ( cd "$downloads" && apt-get -qq download "$package" 2>&1 ) >>artifacts/logs/apt.log || die "$(tail -n 3 artifacts/logs/apt.log)"
    mkdir -p "$folder"
    dpkg -x "$downloads"/*.deb "$folder"
    touch "$folder/.$package"
    rm -r "$downloads"
  done
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
