#!/usr/bin/env bash
# image/tests/arm64.sh [vm-arm64|rpi-arm64]: that image in an emulated arm64 machine: first start, provisioned as a user would, messages, power off, a
# cold start. vm-arm64 starts by UEFI and GRUB; the Raspberry Pi's image by a U-Boot for that machine and the image's own script.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$here/../../scripts/lib.sh"
# shellcheck source=image/tests/check.sh
source "$here/check.sh"

board=${1:-vm-arm64}
install_missing "tests of the arm64 image" qemu-system-arm qemu-efi-aarch64 u-boot-qemu mtools socat openssh-client gdisk fdisk busybox \
  libmosquitto1 libcjson1 libdlt2
unpack_missing artifacts/peers mosquitto mosquitto-clients
[ -e "artifacts/image/$board/root.img" ] || die "There is no image of $board yet: image/build.sh --board $board makes it."
mkdir -p artifacts/logs
scratch=/dev/shm
[ "$(df --output=avail -m $scratch 2>/dev/null | tail -n 1)" -gt 4096 ] 2>/dev/null || scratch=$PWD/artifacts/image
vm=$(mktemp -d "$scratch/iobuffer-arm64-XXXXXX")
# A stick with nothing on it, and nothing served.
truncate -s 1M "$vm/stick.img"
mkdir "$vm/served"
# shellcheck source=image/tests/vm.sh
source image/tests/vm.sh
trap finish EXIT
# shellcheck source=image/tests/10-boot.sh
source image/tests/10-boot.sh
if [ "$board" = rpi-arm64 ]; then
  # GRUB's part in this is tested on the PC.
  restart_into_b() { in_vm 'ibe-bootctl set-primary b && systemctl reboot' && within 600 running b; }
  check "U-Boot starts slot b when it is pending" restart_into_b
  check "and has taken a try off" state_is b a b 2
  check "it is confirmed" within 600 state_is b b '' 0
fi
check "it goes off in order again" off
totals
