#!/usr/bin/env bash
# tests/vm-lab/run.sh [ARGUMENT...]: builds the lab's kernel where it is not there yet, boots it and runs the lab's tests in it; arguments go to
# their runner, such as --filter-class '*Rs485*'. Exit code 0: all of them passed; 75: the guest did not come up here.
# LAB_LIMIT_S: seconds until the guest is stopped.
set -euo pipefail
lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$lab/../../scripts/lib.sh"

memory_mb=768
[ -e artifacts/linux-x64/iobuffer ] || die "artifacts/linux-x64/iobuffer is not there: run scripts/publish.sh linux-x64."
[ -e "$lab/bin/Release/net10.0/IoBufferEdge.VmLab.dll" ] || die "The lab's tests are not built: dotnet build IoBufferEdge.sln -c Release."
kernel=$("$lab/build-kernel.sh" | tail -n 1)

# The guest's memory is a file: in memory itself where there is room, else on the disk, slower.
memory=/dev/shm
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -gt $((memory_mb + 64)) ] 2>/dev/null || memory=$PWD/artifacts/vm-lab

# A guest's first process that ends makes its kernel panic; its last line says how the tests ended.
log=artifacts/logs/vm-lab-guest.log
mkdir -p artifacts/logs
for argument in "$@"; do printf '%s\0' "$argument"; done >artifacts/vm-lab/arguments
TMPDIR=$memory timeout -k 5 "${LAB_LIMIT_S:-600}" "$kernel" root=/dev/root rootfstype=hostfs rootflags=/ ro mem=${memory_mb}M \
  con0=fd:0,fd:1 con=null quiet panic=-1 LAB_FRAMES="${LAB_FRAMES:-200}" \
  DOTNET="$(readlink -f "$(command -v dotnet)")" init="$lab/guest.sh" -- "$PWD" </dev/null 2>&1 | tee "$log" || true
if ! grep -q -e '^guest: ' -e 'Kernel panic' "$log"; then
  echo "This machine does not let the lab's kernel run: $(grep -v '^[[:space:]]*$' "$log" | tail -n 1)"
  exit 75
fi
grep -q 'guest: tests ended with exit code 0 ' "$log" || die "The guest did not end with exit code 0: see $log."
