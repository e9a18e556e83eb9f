#!/usr/bin/env bash
# scripts/bundle.sh [--board ID] [--from FOLDER]: an update bundle, iobufferedge-ID-VERSION.raucb, of root.img and slot.vfat in FOLDER, where image/build.sh
# left them in artifacts/image/ID unless another one is named; its version is the one that the slot's boot files name. Signed with
# the development key (image/keys.sh), or with BUNDLE_KEY and BUNDLE_CERT, files or PKCS#11 URIs. Prints the file's name last.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

board=vm-x86_64 parts=
while [ $# -gt 0 ]; do
  case $1 in
    --board) board=${2:-} && shift ;;
    --from) parts=${2:-} && shift ;;
    *) die "'$1' is not an option: scripts/bundle.sh [--board ID] [--from FOLDER]" ;;
  esac
  shift
done
parts=${parts:-artifacts/image/$board}
[ -e "$parts/root.img" ] || die "There is no image of '$board' yet: image/build.sh --board $board makes it."
install_missing "update bundles" rauc squashfs-tools mtools >&2

slot_version=$(mtype -i "$parts/slot.vfat" ::slot.env | sed -n 's/.*\bibe\.version=\([^ ]*\).*/\1/p')
out=$parts/iobufferedge-$board-$slot_version.raucb
image/keys.sh >&2
say "signing the update bundle $slot_version of $board" >&2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/content"
cp --sparse=always "$parts/root.img" "$folder/content/root.img"
cp --sparse=always "$parts/slot.vfat" "$folder/content/boot.vfat"
cat >"$folder/content/manifest.raucm" <<MANIFEST
[update]
compatible=iobufferedge-$board
version=$slot_version

[bundle]
format=verity

[image.root]
filename=root.img

[image.boot]
filename=boot.vfat
MANIFEST
# The root is compressed already: level 1 packs the rest.
quietly artifacts/logs/bundle.log rauc bundle --key="${BUNDLE_KEY:-artifacts/image/keys/signing.key}" \
  --cert="${BUNDLE_CERT:-artifacts/image/keys/signing.pem}" --mksquashfs-args="-comp zstd -Xcompression-level 1 -no-progress" \
  "$folder/content" "$folder/out.raucb" >&2
mv "$folder/out.raucb" "$out"
printf '   %s, %s\n' "$out" "$(stat -c %s "$out" | awk '{ printf "%.1f MB", $1 / 1e6 }')" >&2
echo "$out"
