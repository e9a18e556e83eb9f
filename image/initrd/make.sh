#!/usr/bin/env bash
# image/initrd/make.sh WORK MODULES: WORK/initrd.img out of busybox, dmsetup, the modules named and what they need, and init. The same for any
# processor: what dmsetup loads is read from its file.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$1 modules=$2
tree=$work/initrd
mkdir -p "$tree"/{bin,sbin,lib,usr/lib}
ln -s lib "$tree/lib64"
install -m 755 "$work/busybox/bin/busybox" "$tree/bin/busybox"
install -m 755 "$here/init" "$tree/init"

# library NAME: into the tree, with what it needs itself.
mkdir "$work/files"
tar -C "$work/files" -xf "$work/root.tar" --wildcards './usr/sbin/dmsetup' './usr/lib/*-linux-gnu/*.so*'
needed() { objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }'; }
library() {
  local file name
  [ ! -e "$tree/lib/$1" ] || return 0
  for file in "$work"/files/usr/lib/*-linux-gnu/"$1"; do
    [ -e "$file" ] || continue
    install -m 755 "$file" "$tree/lib/$1"
    for name in $(needed "$file"); do library "$name"; done
    return
  done
  echo "dmsetup needs $1, and the root does not have it" >&2
  return 1
}
dmsetup=$work/files/usr/sbin/dmsetup
install -m 755 "$dmsetup" "$tree/sbin/dmsetup"
for name in $(needed "$dmsetup"); do library "$name"; done
# The loader that the program names.
for name in ld-linux-x86-64.so.2 ld-linux-aarch64.so.1; do
  for file in "$work"/files/usr/lib/*-linux-gnu/"$name"; do
    if [ -e "$file" ] && [ ! -e "$tree/lib/$name" ]; then install -m 755 "$file" "$tree/lib/$name"; fi
  done
done

# --- modules
source=$(echo "$work"/kernel/lib/modules/*)
kernel=${source##*/}
depmod -b "$work/kernel" "$kernel"
target=$tree/lib/modules/$kernel
mkdir -p "$target"
for module in $modules dm_mod dm_verity squashfs overlay ext4 crc32c_generic sha256_generic; do
  # What is built in has no file.
  modprobe -d "$work/kernel" -S "$kernel" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
done | sort -u | while read -r file; do
  name=${file#"$work/kernel/lib/modules/$kernel/"}
  install -D -m 644 "$file" "$target/$name"
done
cp "$source"/modules.{order,builtin,builtin.modinfo} "$target/"
depmod -b "$tree" "$kernel"
rm -f "$target"/*.bin

find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
( cd "$tree" && find . -print0 | sort -z | cpio -0 -o -H newc --quiet --reproducible -R 0:0 ) | zstd -q -15 -T1 >"$work/initrd.img"
