#!/usr/bin/env bash
# tests/vm-lab/service.sh: boots a Debian with systemd in the lab's kernel, installs the package there and tries what it promises
# (service-guest.sh). What the guest writes is kept in a scratch file over its root disk. Exit code 75: the guest did not come up here.
set -euo pipefail
lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$lab/../../scripts/lib.sh"

kernel=$("$lab/build-kernel.sh" | tail -n 1)
root=$("$lab/build-root.sh" | tail -n 1)
scripts/package.sh amd64
memory_mb=768
memory=/dev/shm
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt $((memory_mb + 512)) ] 2>/dev/null || memory=$PWD/artifacts/vm-lab
# What the guest flushes goes no further than there: a slow disk would hold up all that it reads and writes.
scratch=$(mktemp "$memory/iobuffer-scratch-XXXXXX")
trap 'rm -f "$scratch"' EXIT
rm -f "$scratch"
log=artifacts/logs/vm-lab-service-guest.log
TMPDIR=$memory timeout -k 5 "${LAB_LIMIT_S:-240}" "$kernel" ubd0="$scratch,$root" root=/dev/ubda rootfstype=ext4 rw mem=${memory_mb}M \
  con0=fd:0,fd:1 con=null quiet panic=-1 init=/lib/systemd/systemd systemd.unified_cgroup_hierarchy=1 systemd.show_status=no \
  systemd.setenv=LAB="$PWD" </dev/null 2>&1 | tee "$log" || true
if ! grep -q -e '^guest: ' -e 'Kernel panic' "$log"; then
  echo "This machine does not let the lab's kernel run: $(grep -v '^[[:space:]]*$' "$log" | tail -n 1)"
  exit 75
fi
grep -q 'guest: service checks ended with 0 failed' "$log" || die "The service did not keep every promise: see $log."
