#!/usr/bin/env bash
# image/test.sh [--full]: what image/build.sh made is tried as a whole: the slot state machine by itself (tests/state.sh, tests/uboot.sh), its scripts
# (tests/services.sh), then the disk image in an emulated PC with UEFI: first start, messages, updates that are confirmed, refused and taken back, a few
# power cuts, factory reset; then the many power cuts, in user-mode Linux (tests/cuts.sh). What is sent and what arrives is written down outside the
# machine. --full: 200 of them instead of 10, and the images for arm64 (tests/arm64.sh, tests/rpi.sh), which it builds. Exit code 75: something it needs
# is not to be had here.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
# shellcheck source=image/tests/check.sh
source image/tests/check.sh

cuts=10 full=false
case ${1:-} in
  '') ;;
  --full) cuts=200 full=true ;;
  *) die "'$1' is not an option: image/test.sh [--full]" ;;
esac
board='vm-x86_64'
if [ "$(uname -m)" != x86_64 ] || ! command -v apt-get >/dev/null; then
  echo "The image is tried on a Debian system on x86_64."
  exit 75
fi
install_missing "tests of the image" qemu-system-x86 \
  qemu-utils ovmf mtools socat openssh-client nbdkit fdisk grub-common u-boot-tools rauc cryptsetup-bin busybox \
  libmosquitto1 libcjson1 libdlt2
if ! command -v qemu-system-x86_64 >/dev/null || [ ! -e /usr/share/OVMF/OVMF_CODE_4M.fd ]; then
  echo "qemu-system-x86_64 and its UEFI (ovmf) are not to be had here."
  exit 75
fi
unpack_missing artifacts/peers mosquitto mosquitto-clients
[ -e artifacts/image/$board/disk.img ] || die "There is no image yet: image/build.sh makes it."
mkdir -p artifacts/logs
say "image tests"

state=0
if [ -z "${IMAGE_SKIP_STATE:-}" ]; then
  image/tests/state.sh || state=1
  image/tests/uboot.sh || state=1
fi
image/tests/services.sh || state=1
if $full; then
  for name in vm-arm64 rpi-arm64; do
    image/build.sh --board $name && image/tests/arm64.sh $name || state=1
  done
  image/tests/rpi.sh || state=1
fi
scratch=/dev/shm
[ "$(df --output=avail -m $scratch 2>/dev/null | tail -n 1)" -gt 6144 ] 2>/dev/null || scratch=$PWD/artifacts/image
vm=$(mktemp -d "$scratch/iobuffer-vm-XXXXXX")
# shellcheck source=image/tests/vm.sh
source image/tests/vm.sh
trap finish EXIT

for part in image/tests/[0-9]*.sh; do
  # shellcheck disable=SC1090
  source "$part"
done
many=0
image/tests/cuts.sh $cuts | tee artifacts/logs/image-cuts.log || many=$?
if [ $many -eq 75 ]; then many=0; skip "$cuts power cuts" "$(tail -n 1 artifacts/logs/image-cuts.log)"; fi
totals && [ $state -eq 0 ] && [ $many -eq 0 ]
