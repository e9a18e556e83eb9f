#!/usr/bin/env bash
# image/build.sh [--board ID] [--fresh]: the flashable image of a board, artifacts/image/ID/: disk.img, what an update bundle is made of (root.img,
# slot.vfat), and the bill of materials (sbom.spdx.json). The Debian part is made once and kept in artifacts/image/cache; --fresh makes it again.
# The same commit and the same Debian packages give the same bytes. As root; or as a user with a range of ids in /etc/subuid.
set -euo pipefail
image=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$image/../scripts/lib.sh"

board=vm-x86_64 fresh=false
while [ $# -gt 0 ]; do
  case $1 in
    --board) board=${2:-} && shift ;;
    --fresh) fresh=true ;;
    *) die "'$1' is not an option: image/build.sh [--board ID] [--fresh]" ;;
  esac
  shift
done
[ -e "image/boards/$board.conf" ] ||
  die "'$board' is not a board that images are made for: $(cd image/boards && printf '%s ' *.conf | sed 's/\.conf//g')"
# shellcheck source=image/boards/vm-x86_64.conf
source "image/boards/$board.conf"

release=bookworm
version=$(sed -n 's|.*<Version>\(.*\)</Version>.*|\1|p' Directory.Build.props)
version=${IMAGE_VERSION:-$version}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Directory.Build.props)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
cache=artifacts/image/cache
out=$PWD/artifacts/image/$board
# Thousands of small files are written and thrown away: in memory where there is room.
scratch=/dev/shm
[ "$(df --output=avail -m $scratch 2>/dev/null | tail -n 1)" -gt 4096 ] 2>/dev/null || scratch=$PWD/artifacts/image
work=$(mktemp -d "$scratch/iobuffer-image-XXXXXX")
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
logs=artifacts/logs/image-$board

step=0 steps=8
step() { step=$((step + 1)); printf '== [%d/%d, %d s] %s\n' $step $steps $SECONDS "$*"; }
size() { stat -c %s "$1" | awk '{ printf "%.1f MB", $1 / 1e6 }'; }
# inside COMMAND...: as root, or as one in a user namespace.
inside() { if [ "$(id -u)" -eq 0 ]; then unshare --mount --propagation private "$@"; else mmdebstrap --unshare-helper "$@"; fi; }

# One Debian part serves every board of a processor; it is kept under a name that changes with whatever goes into it.
mapfile -t alike < <(grep -l -x "architecture=$architecture" image/boards/*.conf)
loaders=$(sed -n 's/^loader_packages=//p' "${alike[@]}" | tr -d '"' | tr ' ' '\n' | sort -u | paste -sd' ')
base=$PWD/$cache/base-$architecture-$(cat image/packages.txt image/base.sh - <<<"$release $kernel $loaders" | sha256sum | cut -c1-12)

install_missing "the image" mmdebstrap squashfs-tools genimage mtools dosfstools cryptsetup-bin grub-common grub2-common \
  kmod cpio zstd openssl e2fsprogs
mkdir -p "$cache" "$logs"
step "Debian $release for $architecture"
if $fresh || [ ! -e "$base/root.tar" ]; then
  # shellcheck disable=SC2086  # a list of names
  quietly "$logs/base.log" image/base.sh "$base" "$release" "$architecture" "$kernel" $loaders
  # Of other lists of packages.
  find "$cache/" -maxdepth 1 -name "base-$architecture-*" ! -name "${base##*/}" -exec rm -rf {} +
else
  printf '   kept from before: %s\n' "${base##*/}"
fi

step "the gateway's package"
deb=artifacts/packages/iobuffer_$(sed -n 's|.*<Version>\(.*\)</Version>.*|\1|p' Directory.Build.props)_$architecture.deb
if [ -e "$deb" ] && [ -e "artifacts/$rid/iobuffer" ] &&
  [ -z "$(find "artifacts/$rid/iobuffer" image/service image/debian scripts/package.sh -newer "$deb")" ]; then
  printf '   kept from before: %s\n' "$deb"
else
  scripts/package.sh "$architecture"
fi

rm -rf "$out.new"
mkdir -p "$work/in" "$work/kernel" "$work/loader" "$work/busybox" "$out.new"
step "the root"
for file in "$base"/debs/linux-image-*.deb; do dpkg-deb -x "$file" "$work/kernel"; done
for file in "$base"/debs/busybox-static_*.deb; do dpkg-deb -x "$file" "$work/busybox"; done
taken_apart=("$base"/debs/linux-image-*.deb "$base"/debs/busybox-static_*.deb)
for name in $loader_packages; do
  for file in "$base/debs/${name##*/}"_*.deb; do
    # One of another component may not have been to be had, or comes from elsewhere.
    if [ ! -e "$file" ] || { [[ $name == */* ]] && [ -n "${IMAGE_FIRMWARE:-}" ]; }; then continue; fi
    dpkg-deb -x "$file" "$work/loader"
    taken_apart+=("$file")
  done
done
[ -n "${IMAGE_KEYRING:-}" ] || image/keys.sh
openssl x509 -in "${IMAGE_KEYRING:-artifacts/image/keys/ca.pem}" -out "$work/keyring.pem"
cat >"$work/board.conf" <<CONF
board=$board
loader=$loader
build_time=$SOURCE_DATE_EPOCH
CONF
quietly "$logs/root.log" inside image/root.sh "$base/root.tar" "$deb" "$work" "$version"

step "squashfs and its hash tree"
# Packed in the order of the tar's names, with its owners. The same tar gives the same file: the last one is kept.
squash=(-tar -reproducible -comp zstd -Xcompression-level "${IMAGE_ZSTD_LEVEL:-15}" -b 256K -root-mode 755 -root-uid 0 -root-gid 0 -noappend -no-progress)
packed=$cache/root-$board-$(cat "$work/root.tar" - <<<"${squash[*]}" | sha256sum | cut -c1-16).squashfs
if $fresh || [ ! -e "$packed" ]; then
  rm -f "$cache/root-$board"-*
  quietly "$logs/squashfs.log" nice mksquashfs - "$packed.new" "${squash[@]}" <"$work/root.tar"
  mv "$packed.new" "$packed"
fi
cp "$packed" "$work/in/root.img"
truncate -s %4096 "$work/in/root.img"
blocks=$(($(stat -c %s "$work/in/root.img") / 4096))
salt=$(printf %s "$board" | sha256sum | cut -d' ' -f1)
hash=$(veritysetup format --no-superblock --data-blocks=$blocks --hash-offset=$((blocks * 4096)) --salt="$salt" \
  "$work/in/root.img" "$work/in/root.img" | sed -n 's/^Root hash:[[:space:]]*//p')
[ ${#hash} -eq 64 ] || die "veritysetup gave no root hash."

step "initrd and the slot's boot files"
image/initrd/make.sh "$work" "$initrd_modules"
# gpt: the kernel looks at the table's copy at the medium's end too where the first one was being written when the power went.
arguments="ibe.version=$version ibe.verity=$blocks:$hash:$salt $kernel_arguments gpt panic=10"
printf 'set slot_arguments="%s"\n' "$arguments" >"$work/slot.cfg"
printf 'slot_arguments=%s\n' "$arguments" >"$work/slot.env"

# fat FILE SIZE LABEL SERIAL FILE...: a FAT file system of these files, always alike.
fat() {
  local file=$1 size=$2 label=$3 serial=$4
  shift 4
  rm -f "$file"
  truncate -s "$size" "$file"
  mkfs.vfat --invariant -i "$serial" -n "$label" "$file" >/dev/null
  touch -d "@$SOURCE_DATE_EPOCH" "$@"
  mcopy -m -i "$file" "$@" ::
}
cp "$work"/kernel/boot/vmlinuz-* "$work/vmlinuz"
fat "$work/in/slot.vfat" 96M IBE-SLOT 1be00003 "$work/vmlinuz" "$work/initrd.img" "$work/slot.cfg" "$work/slot.env"

step "boot loader and slot state"
boot_files='' disk=disk.img notice=
# shellcheck source=image/loader/grub.sh
source "image/loader/$loader.sh"

step "the medium"
sed -e "s/@table@/${partition_table:-gpt}/" -e "s/@boot_type@/${boot_partition_type:+partition-type = $boot_partition_type}/" -e "s|@boot_files@|$boot_files|" \
  image/genimage.cfg >"$work/genimage.cfg"
mkdir -p "$work/empty" "$work/tmp"
quietly "$logs/genimage.log" genimage --config "$work/genimage.cfg" --rootpath "$work/empty" --inputpath "$work/in" --outputpath "$work/out" \
  --tmppath "$work/tmp"
mv "$work/out/disk.img" "$out.new/$disk"
mv "$work/in/root.img" "$work/in/slot.vfat" "$out.new/"

step "bill of materials"
image/sbom.sh "$board" "$version" "$work/packages" "${taken_apart[@]}" >"$out.new/sbom.spdx.json"
( cd "$out.new" && sha256sum ./* >SHA256SUMS )
rm -rf "$out"
mv "$out.new" "$out"
used=$(mdir -a -i "$out/slot.vfat" | awk '/ files? / { gsub(/ /, ""); sub(/.*files?/, ""); sub(/bytes/, ""); printf "%.1f MB", $0 / 1e6 }')
occupied=$(du -k "$out/$disk" | awk '{ printf "%.1f MB", $1 * 1024 / 1e6 }')
printf '   artifacts/image/%s/%s: %s (%s on the disk), of it root %s, kernel and initrd %s; sha256 %s\n' "$board" "$disk" \
  "$(size "$out/$disk")" "$occupied" "$(size "$out/root.img")" "$used" "$(sed -n 's/  .*disk.*//p' "$out/SHA256SUMS" | cut -c1-16)"
[ -z "$notice" ] || printf '   %s\n' "$notice"
