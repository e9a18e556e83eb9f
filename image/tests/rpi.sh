#!/usr/bin/env bash
# image/tests/rpi.sh: the Raspberry Pi's image without a Raspberry Pi: its partitions, what the boot firmware, U-Boot and the kernel look for in them, both
# roots block by block; then its start on an emulated Pi 3 from an SD card, which goes as far as that machine does: it has no network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$here/../../scripts/lib.sh"
# shellcheck source=image/tests/check.sh
source "$here/check.sh"
# shellcheck source=image/boards/rpi-arm64.conf
source image/boards/rpi-arm64.conf

install_missing "tests of the Raspberry Pi's image" qemu-system-arm mtools dosfstools gdisk fdisk cryptsetup-bin squashfs-tools u-boot-tools \
  device-tree-compiler zstd cpio
parts=artifacts/image/rpi-arm64
[ -e $parts/root.img ] || die "There is no image of rpi-arm64 yet: image/build.sh --board rpi-arm64 makes it."
disk=$(echo $parts/disk*.img)
mkdir -p artifacts/logs
scratch=/dev/shm
[ "$(df --output=avail -m $scratch 2>/dev/null | tail -n 1)" -gt 4096 ] 2>/dev/null || scratch=$PWD/artifacts/image
work=$(mktemp -d "$scratch/iobuffer-rpi-XXXXXX")
qemu=
finish() {
  [ -z "$qemu" ] || { kill -9 "$qemu" && wait "$qemu"; } 2>/dev/null || true
  cp "$work"/serial* artifacts/logs/ 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# --- partitions
first() { sgdisk -i "$1" "$disk" | awk '/^First sector/ { print $3 }'; }
table_is_right() {
  sgdisk -v "$disk" | grep -q 'No problems found' || return
  diff <(sfdisk -d "$disk" | sed -n 's/.*size= *\([0-9]*\),.*name="\([^"]*\)".*/\2 \1/p') - <<'RIGHT'
ibe-boot 262144
ibe-state 16384
ibe-boot-a 196608
ibe-boot-b 196608
ibe-root-a 1048576
ibe-root-b 1048576
ibe-ident 65536
ibe-data 131072
RIGHT
}
# What the Pi 3's ROM reads: an MBR that names the boot partition as FAT; and that there is a GPT.
mbr_is_right() {
  local table
  table=$(od -A n -v -t x1 -j 446 -N 66 "$disk" | tr -d ' \n')
  # Type, first sector, and of the boot partition the number of sectors.
  [ "${table:8:2} ${table:16:16}" = '0c 0040000000000400' ] && [ "${table:40:2} ${table:48:8}" = 'ee 01000000' ] && [ "${table:128}" = 55aa ]
}
part() { dd if="$disk" of="$work/$1" bs=1M skip=$(($(first "$2") / 2048)) count="$3" status=none; }
fats_are_whole() {
  part boot.vfat 1 128 && part slot-a.vfat 3 96 && part slot-b.vfat 4 96 && part state.img 2 8 || return
  fsck.vfat -n "$work/boot.vfat" && fsck.vfat -n "$work/slot-a.vfat" && cmp "$work/slot-a.vfat" "$work/slot-b.vfat" && cmp "$work/slot-a.vfat" $parts/slot.vfat
}
check "the partitions have their names and sizes" table_is_right
check "the Pi 3's ROM finds the boot partition in the MBR" mbr_is_right
check "the FAT file systems are whole, the slots alike" fats_are_whole
mkdir "$work/boot" "$work/slot"
mcopy -s -i "$work/boot.vfat" '::*' "$work/boot/"
mcopy -s -i "$work/slot-a.vfat" '::*' "$work/slot/"

# --- boot partition
firmware_is_there() {
  local name
  for name in $firmware_files; do [ -s "$work/boot/$name" ] || { echo "$name is missing"; return 1; }; done
}
case $disk in
  *without-firmware.img) skip "the boot firmware's files are there" "the image was built without them" ;;
  *) check "the boot firmware's files are there" firmware_is_there ;;
esac
config_is_right() {
  cmp "$work/boot/config.txt" image/loader/config.txt && grep -qx 'arm_64bit=1' "$work/boot/config.txt" &&
    [ -s "$work/boot/$(sed -n 's/^kernel=//p' "$work/boot/config.txt")" ] && ! grep '^dtoverlay' "$work/boot/config.txt"
}
script_is_right() {
  mkimage -l "$work/boot/boot.scr" | tee "$work/script" | grep -q 'Image Type: *AArch64 Linux Script (uncompressed)' || { cat "$work/script"; return 1; }
  # Behind the header a table of sizes: one, and its end.
  tail -c +73 "$work/boot/boot.scr" | cmp - <(echo 'setenv state_partition 2' && cat image/loader/choose.cmd image/loader/boot.cmd)
}
# As U-Boot names them.
models=$(grep -a -o -E 'broadcom/bcm(2711|2837)-[a-z0-9-]*\.dtb' "$work/boot/u-boot.bin" | sed 's/broadcom\///; s/\.dtb//')
uboot_is_not_held_up() {
  local model name
  for model in $models; do
    # The firmware's name for those of the Pi 3 is another one.
    for name in "$model" "${model/2837/2710}"; do [ "$(fdtget "$work/boot/$name.dtb" /config bootdelay)" = -2 ] || { echo "$name"; return 1; }; done
  done
  [ "$(wc -w <<<"$models")" -ge 8 ]
}
check "config.txt starts U-Boot" config_is_right
check "boot.scr is whole, and is what the sources say" script_is_right
check "U-Boot waits for no key on any model" uboot_is_not_held_up

# --- slots
u32() { od -A n -t u4 -j "$2" -N 4 "$1" | tr -d ' '; }
kernel_fits() {
  local size
  [ "$(head -c 60 "$work/slot/vmlinuz" | tail -c 4 | od -A n -t x1)" = ' 41 52 4d 64' ] || { echo "not a kernel for arm64"; return 1; }
  # U-Boot moves it to 2 MiB; its script lies at 36 MiB, the device tree at 38, the initrd at 39.
  size=$(u32 "$work/slot/vmlinuz" 16)
  [ $((0x200000 + size)) -le $((0x2400000)) ] || { echo "$size bytes are too many"; return 1; }
}
header_has_uart() {
  local model tree
  for model in $models; do
    tree=$work/slot/broadcom/$model.dtb
    if [ "$(fdtget "$tree" /soc/serial@7e201000 status) $(fdtget "$tree" /soc/serial@7e215040 status)" != 'okay disabled' ] ||
      [ "$(fdtget "$tree" /soc/serial@7e201000 pinctrl-0)" != "$(fdtget "$tree" /soc/gpio@7e200000/uart0_gpio14 phandle)" ] ||
      [ "$(fdtget "$tree" /aliases serial0)" != /soc/serial@7e201000 ] || fdtget "$tree" /soc/serial@7e201000/bluetooth compatible 2>/dev/null; then
      echo "$model"
      return 1
    fi
  done
}
# has LIST NAME...: as kernel modules.
has() {
  local list=$1 name
  shift
  for name in "$@"; do grep -q -E "/${name//[-_]/[-_]}\.ko$" "$list" || { echo "$name is missing"; return 1; }; done
}
initrd_is_right() {
  zstd -q -d -c "$work/slot/initrd.img" | cpio -t --quiet >"$work/initrd.list" || return
  grep -qx init "$work/initrd.list" || return
  # shellcheck disable=SC2086  # a list of names
  has "$work/initrd.list" $initrd_modules dm_verity squashfs overlay
}
root_is_right() {
  unsquashfs -l $parts/root.img >"$work/root.list" || return
  has "$work/root.list" bcm2835_wdt i2c-bcm2835 spi-bcm2835 bcm2835_thermal bcm2711_thermal raspberrypi-cpufreq leds-gpio ledtrig-pattern \
    smsc95xx lan78xx genet bcm7xxx ch341 cp210x ftdi_sio pl2303 cdc-acm || return
  unsquashfs -q -n -d "$work/tree" $parts/root.img usr/lib/iobuffer usr/sbin/ibe-bootctl >/dev/null || return
  cmp "$work/tree/usr/lib/iobuffer/iobuffer" artifacts/linux-arm64/iobuffer && grep -qx loader=uboot "$work/tree/usr/lib/iobuffer/board.conf"
}
verified() { # verified PARTITION
  local blocks hash salt
  IFS=: read -r blocks hash salt <<<"$(sed -n 's/^slot_arguments=.*ibe\.verity=\([^ ]*\).*/\1/p' "$work/slot/slot.env")"
  part root.check "$1" 512 || return
  veritysetup verify --no-superblock --data-blocks="$blocks" --hash-offset=$((blocks * 4096)) --salt="$salt" "$work/root.check" "$work/root.check" "$hash" &&
    cmp -n "$(stat -c %s $parts/root.img)" "$work/root.check" $parts/root.img && rm "$work/root.check"
}
state_is() { [ "$(IBE_LOADER=uboot IBE_STATE=$work/state.img image/rootfs/usr/sbin/ibe-bootctl status | tail -n 4 | sed 's/.*=//' | paste -sd:)" = "$1" ]; }
state_is_right() {
  cmp <(head -c 16384 "$work/state.img") <(tail -c +4194305 "$work/state.img" | head -c 16384) && state_is a::0:0 || return
  # The second one by itself.
  head -c 16384 /dev/zero | dd of="$work/state.img" conv=notrunc status=none && state_is a::0:0 &&
    [ "$(tail -c +4194305 "$work/state.img" | tr -d '\000' | wc -c)" -gt 20 ]
}
check "the kernel is for arm64, and has room" kernel_fits
check "the header's UART is /dev/ttyAMA0 on every model" header_has_uart
check "the initrd has what SD card, eMMC and USB need" initrd_is_right
check "the root has the boards' drivers, the gateway and its loader's name" root_is_right
check "root a is as slot a's boot files say" verified 5
check "root b is as slot b's boot files say" verified 6
check "both copies of the slot state are good" state_is_right

# --- the start, on a Pi 3. In this copy slot b is pending, and the kernel writes to the header's UART; the image writes nothing there. The emulator
# restarts the machine when its watchdog is armed, not when it runs out: systemd leaves it alone here.
prepare_card() {
  local slot
  cp --sparse=always "$disk" "$work/card.img" && truncate -s 2G "$work/card.img" || return
  IBE_LOADER=uboot IBE_STATE=$work/state.img image/rootfs/usr/sbin/ibe-bootctl set-primary b || return
  dd if="$work/state.img" of="$work/card.img" bs=512 seek="$(first 2)" conv=notrunc status=none || return
  sed 's/console=tty0/console=ttyAMA0,115200 systemd.watchdog_sec=0/' "$work/slot/slot.env" >"$work/slot.env"
  for slot in 3 4; do mcopy -o -i "$work/card.img@@$(($(first $slot) * 512))" "$work/slot.env" ::slot.env || return; done
}
power_on() {
  mkfifo "$work/uboot.in" "$work/uboot.out"
  cat "$work/uboot.out" >"$work/serial-uboot" &
  qemu-system-aarch64 -M raspi3b -accel tcg,thread=single -nographic -nodefaults -monitor none -serial file:"$work/serial-kernel" \
    -chardev "pipe,id=uboot,path=$work/uboot" -serial chardev:uboot -kernel "$work/boot/u-boot.bin" -dtb "$work/boot/bcm2837-rpi-3-b.dtb" \
    -drive if=sd,format=raw,file="$work/card.img" </dev/null >"$work/qemu.log" 2>&1 &
  qemu=$!
  # What a bus may send while U-Boot starts.
  printf 'x%.0s' {1..4096} >"$work/uboot.in" &
}
# says SECONDS CONSOLE WORDS
says() {
  local until=$((SECONDS + $1))
  until grep -a -q "$3" "$work/serial-$2" 2>/dev/null; do
    if [ $SECONDS -ge $until ] || ! kill -0 "$qemu"; then
      tr -d '\r' <"$work/serial-$2" | tail -n 5
      return 1
    fi
    sleep 1
  done
}
card_state_is() { dd if="$work/card.img" of="$work/state.img" bs=512 skip="$(first 2)" count=16384 status=none && state_is "$1"; }
proves_itself() {
  local until=$((SECONDS + 900))
  until card_state_is b::0:0; do
    if [ $SECONDS -ge $until ]; then tr -d '\r' <"$work/serial-kernel" | tail -n 5; return 1; fi
    sleep 2
  done
}
nothing_failed() { [ -s "$work/serial-kernel" ] && ! grep -a 'FAILED\|Failed to start' "$work/serial-kernel"; }
check "an SD card with slot b pending" prepare_card
power_on
check "U-Boot runs the script, whatever comes in at its console" says 120 uboot '^slot b'
check "it has taken the try off, in both copies" card_state_is a:b:2:0
check "the kernel finds the card, and the root's hash is right" says 300 kernel 'systemd\[1\]: '
check "the gateway starts" says 900 kernel 'Started .*iobuffer\.service'
check "the watchdog's driver is there" says 60 kernel 'Broadcom BCM2835 watchdog timer'
check "slot b proves itself" proves_itself
check "nothing has failed on the way" nothing_failed
totals
