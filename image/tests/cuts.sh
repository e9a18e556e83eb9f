#!/usr/bin/env bash
# image/tests/cuts.sh [COUNT]: power cuts of the disk image, 10 unless said otherwise, in user-mode Linux, where a start takes a third of what it takes an
# emulated PC: its partitions, initrd, verified root, systemd, gateway and RAUC are the image's, kernel and boot loader stand in. The power goes at a
# random moment of a first start, of traffic and a restart, of an update and its restart, of a confirmation, of a factory reset, and of a start that
# follows a cut; whatever was not flushed is lost. After each cut the medium is whole; then it comes up and takes messages, what had been accepted
# arrives, in order, and the device is the same one. Three guests at a time. CUTS_SEED draws the same moments again. Needs root. Exit code 75: something
# it needs is not to be had here.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
count=${1:-10}
[[ $count =~ ^[1-9][0-9]*$ ]] || die "'$count' is not a number of cuts: image/tests/cuts.sh [COUNT]"
if [ "$(uname -m)" != x86_64 ] || ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ] || [ ! -e /dev/net/tun ] || [ ! -e /dev/fuse ]; then
  echo "Power cuts of the image need a Debian system on x86_64, root, /dev/net/tun and /dev/fuse."
  exit 75
fi
install_missing "power cuts of the image" nbdkit libnbd-bin fuse3 iproute2 procps fdisk mtools dosfstools socat openssh-client grub-common rauc cryptsetup-bin \
  squashfs-tools
image=artifacts/image/vm-x86_64
[ -e $image/disk.img ] || die "There is no image yet: image/build.sh makes it."
kernel=$(tests/vm-lab/build-kernel.sh | tail -n 1)
scratch=/dev/shm
[ "$(df --output=avail -m $scratch 2>/dev/null | tail -n 1)" -gt 8192 ] 2>/dev/null || scratch=$PWD/artifacts/image
folder=$(mktemp -d "$scratch/iobuffer-cuts-XXXXXX")
trap 'rm -rf "$folder"' EXIT
# Without a disk it starts and ends.
TMPDIR=$folder timeout 60 "$kernel" mem=64M con0=null,fd:1 con=null panic=-1 >"$folder/serial" 2>&1 </dev/null || true
if ! grep -a -q 'Kernel panic' "$folder/serial"; then
  echo "This machine does not let the lab's kernel run."
  exit 75
fi

# bundle NUMBER: the image's version with .NUMBER behind it, of root.img and slot.vfat in $folder/NUMBER.
bundle() {
  local parts=$folder/$1 name
  cp --sparse=always $image/slot.vfat "$parts/slot.vfat"
  for name in slot.cfg slot.env; do
    mtype -i "$parts/slot.vfat" ::$name | sed "s/ibe\.version=\([^ ]*\) ibe\.verity=[^ ]*/ibe.version=\1.$1 ibe.verity=$2/" >"$parts/$name"
    mcopy -o -i "$parts/slot.vfat" "$parts/$name" ::$name
  done
  mv "$(scripts/bundle.sh --from "$parts" | tail -n 1)" "$folder/bundles/$1.raucb"
}
# Two versions whose roots have no block in common, so that a slot that is half written is never whole by chance.
make_stick() {
  local verity blocks hash
  mkdir -p "$folder"/{1,2,bundles} || return
  ln -s "$PWD/$image/root.img" "$folder/1/root.img"
  verity=$(mtype -i $image/slot.vfat ::slot.env | sed -n 's/.*ibe\.verity=\([^ ]*\).*/\1/p')
  bundle 1 "$verity" || return
  unsquashfs -q -n -d "$folder/root" $image/root.img || return
  nice mksquashfs "$folder/root" "$folder/2/root.img" -comp zstd -Xcompression-level 1 -b 128K -noappend -no-progress -quiet || return
  rm -r "$folder/root"
  truncate -s %4096 "$folder/2/root.img"
  blocks=$(($(stat -c %s "$folder/2/root.img") / 4096))
  hash=$(veritysetup format --no-superblock --data-blocks=$blocks --hash-offset=$((blocks * 4096)) --salt=00 "$folder/2/root.img" "$folder/2/root.img" |
    sed -n 's/^Root hash:[[:space:]]*//p')
  bundle 2 "$blocks:$hash:00" || return
  truncate -s 600M "$folder/stick.img" && mkfs.vfat -n STICK "$folder/stick.img" && mcopy -i "$folder/stick.img" "$folder"/bundles/*.raucb :: || return
  rm -r "$folder"/{1,2,bundles}
}
export folder kernel image_disk=$image/disk.img stick=$folder/stick.img
quietly artifacts/logs/image-cuts-bundles.log make_stick

seed=${CUTS_SEED:-$(date +%s)}
say "$count power cuts in user-mode Linux, CUTS_SEED=$seed"
guests=3
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
for ((guest = 1; guest <= guests; guest++)); do
  unshare --net --mount --pid --fork --kill-child --mount-proc image/tests/cuts-guest.sh $guest $((seed + guest)) $(((count + guests - guest) / guests)) &
  pids+=($!)
done
status=0
for pid in "${pids[@]}"; do wait "$pid" || status=1; done
say "$count power cuts took $SECONDS s"
[ $status -eq 0 ]
