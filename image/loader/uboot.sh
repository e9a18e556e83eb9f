#!/usr/bin/env bash
# Sourced by build.sh: U-Boot on a Raspberry Pi, started by the Pi's boot firmware; choose.cmd and boot.cmd in one script; the two copies of the slot
# state in a partition without a file system; the kernel's device trees in its slot.
# shellcheck shell=bash disable=SC2154,SC2034
set -euo pipefail
install_missing "the boot loader" u-boot-tools device-tree-compiler
{ echo 'setenv state_partition 2' && cat image/loader/choose.cmd image/loader/boot.cmd; } >"$work/boot.cmd"
mkimage -A arm64 -T script -C none -n IoBufferEdge -d "$work/boot.cmd" "$work/in/boot.scr" >/dev/null
cp "$work/loader/usr/lib/u-boot/$uboot/u-boot.bin" image/loader/config.txt "$work/in/"

# What the slot starts its kernel with: the header's UART (GPIO14 and 15) is the one with a clock and a FIFO of its own, as hardware/boards has it;
# Bluetooth, which had it, and the small UART, whose rate follows the core's clock, have none.
header_uart() {
  local pins=/soc/gpio@7e200000/uart0_gpio14 handle
  # No node of the tree has asked for these pins so far; the number is one that none has.
  handle=$(fdtget -t x "$1" $pins phandle 2>/dev/null) || { handle=1be0 && fdtput -t x "$1" $pins phandle $handle; }
  fdtput -r "$1" /soc/serial@7e201000/bluetooth 2>/dev/null || true
  fdtput -d "$1" /soc/serial@7e201000 uart-has-rtscts 2>/dev/null || true
  fdtput -t x "$1" /soc/serial@7e201000 pinctrl-0 "$handle"
  fdtput -t s "$1" /soc/serial@7e201000 pinctrl-names default
  fdtput -t s "$1" /soc/serial@7e201000 status okay
  fdtput -t s "$1" /soc/serial@7e215040 status disabled
}
# names FILE: what the kernel calls a tree, and what U-Boot does, for boards that are more than their module.
names() { sed 's/.*\///; p; s/-cm4-io/-cm4/; s/-cm3-io3/-cm3/; s/-zero-2-w/-zero-2/' <<<"$1" | sort -u; }
mkdir "$work/trees" "$work/uboot-trees"
for file in "$work"/kernel/usr/lib/linux-image-*/broadcom/*.dtb; do
  for name in $(names "$file"); do
    cp "$file" "$work/trees/$name"
    header_uart "$work/trees/$name"
    # U-Boot's own, which the firmware hands over; Pi 3's have another name with it. Nothing that arrives at the console, a bus's noise for one, is to
    # hold U-Boot up.
    cp "$file" "$work/uboot-trees/$name"
    fdtput -p -t x "$work/uboot-trees/$name" /config bootdelay fffffffe
    case $name in bcm2837-*) cp "$work/uboot-trees/$name" "$work/uboot-trees/bcm2710-${name#*-}" ;; esac
  done
done
touch -d "@$SOURCE_DATE_EPOCH" "$work"/trees/*
# U-Boot asks for the tree by its path in the kernel's sources.
mmd -i "$work/in/slot.vfat" ::broadcom
mcopy -m -i "$work/in/slot.vfat" "$work"/trees/*.dtb ::broadcom
cp "$work"/uboot-trees/*.dtb "$work/in/"

# The boot firmware is not part of Debian proper.
firmware=${IMAGE_FIRMWARE:-$work/loader/usr/lib/raspi-firmware} missing=
for name in $firmware_files; do
  if [ -e "$firmware/$name" ]; then cp "$firmware/$name" "$work/in/"; else missing+=" $name"; fi
done
license=$work/loader/usr/share/doc/raspi-firmware/copyright
if [ -e "$license" ]; then cp "$license" "$work/in/LICENCE.broadcom"; fi
if [ -n "$missing" ]; then
  disk='disk-without-firmware.img'
  notice="$disk does not start yet. The Raspberry Pi's boot firmware is missing:$missing. Debian has it in raspi-firmware (component
   non-free-firmware; --fresh asks the mirror again); or put the files into a folder and build with IMAGE_FIRMWARE=FOLDER."
fi
touch -d "@$SOURCE_DATE_EPOCH" "$work"/in/*
for file in boot.scr u-boot.bin config.txt $firmware_files LICENCE.broadcom; do
  [ ! -e "$work/in/$file" ] || boot_files+="file $file { image = \"$file\" } "
done
for file in "$work"/uboot-trees/*.dtb; do boot_files+="file ${file##*/} { image = \"${file##*/}\" } "; done

truncate -s 8M "$work/in/state.img"
IBE_LOADER=uboot IBE_STATE=$work/in/state.img image/rootfs/usr/sbin/ibe-bootctl repair
