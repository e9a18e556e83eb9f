#!/usr/bin/env bash
# A stick with update bundles, good and bad. All of them have the image's own root; what differs is in the slot's boot files. Sourced by test.sh.
# shellcheck shell=bash disable=SC2154
set -euo pipefail
say "update bundles"
parts=artifacts/image/$board
version=$(mtype -i "$parts/slot.vfat" ::slot.env | sed -n 's/.*\bibe\.version=\([^ ]*\).*/\1/p')
mkdir "$vm/bundles"

# variant VERSION ARGUMENTS: $vm/VERSION with the image's root and a slot of that version, with more on the kernel's command line.
variant() {
  local folder=$vm/$1 name
  mkdir "$folder"
  ln -s "$PWD/$parts/root.img" "$folder/root.img"
  cp --sparse=always "$parts/slot.vfat" "$folder/slot.vfat"
  for name in slot.cfg slot.env; do
    mtype -i "$folder/slot.vfat" ::$name | sed "s/ibe\.version=[^ ]*/ibe.version=$1 $2/" >"$folder/$name"
    mcopy -o -i "$folder/slot.vfat" "$folder/$name" ::$name
  done
}
# pack VERSION NAME [BOARD]: signed by whoever BUNDLE_KEY and BUNDLE_CERT name.
pack() { scripts/bundle.sh --from "$vm/$1" --board "${3:-$board}" >/dev/null && mv "$vm/$1"/*.raucb "$vm/bundles/$2.raucb"; }

make_bundles() {
  # A minute of steadiness is kept; what is shortened is how long a broken one is waited for.
  variant "$version.1" '' && pack "$version.1" good || return
  variant "$version.2" 'systemd.mask=iobuffer.service ibe.health_budget_s=240' && pack "$version.2" broken || return
  variant "$version.3" '' && pack "$version.3" flipped || return
  variant 0.0.1 '' && pack 0.0.1 old || return
  pack "$version.1" other-board vm-other || return
  image/keys.sh "$vm/keys" && BUNDLE_KEY=$vm/keys/signing.key BUNDLE_CERT=$vm/keys/signing.pem pack "$version.1" other-key || return
  head -c $(($(stat -c %s "$vm/bundles/good.raucb") / 2)) "$vm/bundles/good.raucb" >"$vm/bundles/truncated.raucb"
  # One bit of the payload; the signature is what it was.
  cp "$vm/bundles/good.raucb" "$vm/bundles/altered.raucb"
  printf '\377' | dd of="$vm/bundles/altered.raucb" bs=1 seek=50000000 conv=notrunc status=none
  # What an installer brings, and what lies on a server.
  truncate -s 200M "$vm/update.img" && mkfs.vfat -n UPDATE "$vm/update.img" >/dev/null &&
    mcopy -i "$vm/update.img" "$vm/bundles/good.raucb" "::iobufferedge-$board-$version.1.raucb" || return
  mkdir "$vm/served" && cp "$vm/bundles/broken.raucb" "$vm/served/" || return
  truncate -s 1200M "$vm/stick.img" && mkfs.vfat -n STICK "$vm/stick.img" >/dev/null && mcopy -i "$vm/stick.img" "$vm"/bundles/*.raucb ::
}
check "bundles are made" make_bundles
rm -r "$vm/bundles"
