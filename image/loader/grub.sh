#!/usr/bin/env bash
# Sourced by build.sh: GRUB for UEFI with grub.cfg inside, and the two copies of the slot state as files of a FAT file system that is never written
# as one: GRUB and ibe-bootctl write the files' sectors, whose place is fixed.
# shellcheck shell=bash disable=SC2154,SC2034
set -euo pipefail
grub_modules="part_gpt fat loadenv regexp serial terminal echo test linux normal configfile sleep reboot boot minicmd"
cp image/loader/grub.cfg image/loader/choose.cfg "$work/"
touch -d "@$SOURCE_DATE_EPOCH" "$work/grub.cfg" "$work/choose.cfg"
grub-script-check "$work/grub.cfg"
grub-script-check "$work/choose.cfg"
mkdir -p "$work/memdisk/boot/grub"
cp "$work/grub.cfg" "$work/choose.cfg" "$work/memdisk/boot/grub/"
tar -C "$work/memdisk" -c --sort=name --numeric-owner --owner=0 --group=0 --mtime="@$SOURCE_DATE_EPOCH" --format=ustar -f "$work/memdisk.tar" boot
# shellcheck disable=SC2086  # a list of names
grub-mkimage -O "$grub_format" -d "$work/loader/usr/lib/grub/$grub_format" -o "$work/in/$efi_name" -p '(memdisk)/boot/grub' -m "$work/memdisk.tar" \
  $grub_modules memdisk tar
touch -d "@$SOURCE_DATE_EPOCH" "$work/in/$efi_name"
boot_files="file EFI/BOOT/$efi_name { image = \"$efi_name\" }"

truncate -s 1024 "$work/state1"
# 256 reserved and table sectors, then the first copy; the second one lies 4 MiB behind it.
truncate -s 8M "$work/in/state.img"
mkfs.vfat --invariant -F 16 -s 1 -R 96 -r 512 -i 1be00002 -n IBE-STATE "$work/in/state.img" >/dev/null
head -c 1024 /dev/zero >"$work/state2"
head -c $((4194304 - 1024)) /dev/zero >"$work/between"
touch -d "@$SOURCE_DATE_EPOCH" "$work/state1" "$work/between" "$work/state2"
mcopy -m -i "$work/in/state.img" "$work/state1" "$work/between" "$work/state2" ::
IBE_LOADER=grub IBE_STATE=$work/in/state.img image/rootfs/usr/sbin/ibe-bootctl repair
# Their places are what ibe-bootctl takes them to be.
for name in state1 state2; do
  mtype -i "$work/in/state.img" "::$name" | grep -q '^confirmed=a$' || die "The slot state's copy $name is not where ibe-bootctl writes it."
done
