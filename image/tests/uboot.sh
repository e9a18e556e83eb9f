#!/usr/bin/env bash
# image/tests/uboot.sh: choose.cmd in U-Boot itself, in every state of the slots, with torn and damaged copies and with a medium that takes no writes:
# two starts of an emulated arm64 machine, whose disk has a partition for each state. What U-Boot has written is read by ibe-bootctl. Then boot.cmd, where
# no slot can be read.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$here/../../scripts/lib.sh"
# shellcheck source=image/tests/check.sh
source "$here/check.sh"

install_missing "tests of the boot script" u-boot-tools u-boot-qemu genimage mtools dosfstools qemu-system-arm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/in" "$work/out" "$work/tmp" "$work/empty"

# block CONFIRMED PENDING TRIES: a copy as U-Boot's own tool writes it.
block() {
  local out=$work/block-$1-$2-$3
  [ -e "$out" ] || printf 'confirmed=%s\npending=%s\ntries=%s\nreset=0\n' "$1" "$2" "$3" | mkenvimage -s 16384 -p 0 -o "$out" - 2>/dev/null
  echo "$out"
}
names=()
# state NAME COPY1 COPY2: a partition with these files for its copies.
state() {
  truncate -s 8M "$work/in/$1"
  dd if="$2" of="$work/in/$1" bs=16K count=1 conv=notrunc status=none
  dd if="$3" of="$work/in/$1" bs=16K count=1 seek=256 conv=notrunc status=none
  names+=("$1")
}
states=()
for c in a b; do for p in '' a b; do for t in 0 1 2 3; do
  states+=("$c:$p:$t")
  state "state-$c-$p-$t" "$(block $c "$p" $t)" "$(block $c "$p" $t)"
done; done; done

head -c 16384 /dev/urandom >"$work/noise"
{ head -c 512 "$(block b '' 0)"; tail -c +513 "$work/noise"; } >"$work/cut"
{ head -c 4 "$(block a b 3)"; tail -c +5 "$(block b '' 0)"; } >"$work/checksum"
printf 'pending=b\ntries=3\nreset=0\n' | mkenvimage -s 16384 -p 0 -o "$work/nameless" -
# The first copy is gone, cut off, has another one's checksum, names no confirmed slot; is newer than the second; is whole where the second is gone;
# both are gone.
state first-gone "$work/noise" "$(block b a 2)"
state first-cut "$work/cut" "$(block a b 3)"
state first-checksum "$work/checksum" "$(block b '' 0)"
state first-nameless "$work/nameless" "$(block b a 1)"
state first-newer "$(block b '' 0)" "$(block a b 1)"
state second-gone "$(block a b 2)" "$work/noise"
state both-gone "$work/noise" "$work/cut"

# shellcheck disable=SC2016  # U-Boot expands these
make_disk() {
  local number=1 name partitions=
  mkimage -A arm64 -T script -C none -d image/loader/choose.cmd "$work/choose.scr" >/dev/null
  echo 'load ${devtype} ${devnum}:1 ${pxefile_addr_r} choose.scr' >"$work/test.cmd"
  for name in "${names[@]}"; do
    number=$((number + 1))
    partitions+="partition $name { image = \"$name\" } "
    echo "setenv state_partition $number" >>"$work/test.cmd"
    # Five starts in a row.
    for _ in 1 2 3 4 5; do printf 'source ${pxefile_addr_r}\necho "chose %s ${slot}"\n' "$name" >>"$work/test.cmd"; done
  done
  printf 'echo "chose end"\nreset\n' >>"$work/test.cmd"
  mkimage -A arm64 -T script -C none -d "$work/test.cmd" "$work/boot.scr" >/dev/null
  truncate -s 8M "$work/in/fat.img"
  mkfs.vfat "$work/in/fat.img" >/dev/null
  mcopy -i "$work/in/fat.img" "$work/boot.scr" "$work/choose.scr" ::
  make_image "$partitions"
}
make_image() { # make_image PARTITIONS: behind that of boot.scr
  printf 'image disk.img { hdimage { partition-table-type = "gpt" align = 1M } partition boot { image = "fat.img" bootable = true } %s}\n' \
    "$1" >"$work/disk.cfg"
  rm -rf "$work/tmp"
  genimage --config "$work/disk.cfg" --rootpath "$work/empty" --inputpath "$work/in" --outputpath "$work/out" --tmppath "$work/tmp" >/dev/null 2>&1
}
machine=(qemu-system-aarch64 -M virt -cpu cortex-a53 -accel tcg -m 256 -nographic -nodefaults -monitor none -no-reboot
  -bios /usr/lib/u-boot/qemu_arm64/u-boot.bin -device 'virtio-blk-device,drive=d0')
# run_uboot SERIAL OPTIONS: of the disk.
run_uboot() {
  timeout 300 "${machine[@]}" -serial file:"$1" -drive "if=none,id=d0,file=$work/out/disk.img,format=raw$2" || true
  grep -a -q 'chose end' "$1"
}
# chosen NAME [SERIAL]: by its five starts.
chosen() { grep -a -o "chose $1 [ab]" "${2:-$work/serial}" | cut -d' ' -f3 | tr -d '\n'; }
chooses() {
  local entry right c p t
  for entry in "${states[@]}"; do
    IFS=: read -r c p t <<<"$entry"
    right=$(for start in 1 2 3 4 5; do if [ -n "$p" ] && [ "$start" -le "$t" ]; then printf %s "$p"; else printf %s "$c"; fi; done)
    [ "$(chosen "state-$c-$p-$t")" = "$right" ] ||
      { echo "confirmed=$c pending=$p tries=$t: five starts chose '$(chosen "state-$c-$p-$t")'; '$right' is right"; return 1; }
  done
  [ ${#states[@]} -eq 24 ]
}
# copy NAME NUMBER: as it is on the medium after the starts.
copy() {
  local index
  for index in "${!names[@]}"; do
    # The table's one MiB, the boot partition's eight, those before it.
    [ "${names[index]}" != "$1" ] || dd if="$work/out/disk.img" bs=16K count=1 skip=$(((9 + 8 * index + 4 * ($2 - 1)) * 64)) status=none
  done
}
# reads NAME STATE: ibe-bootctl, from either copy alone.
reads() {
  local number
  for number in 1 2; do
    copy "$1" $number >"$work/copy"
    truncate -s 8M "$work/alone"
    dd if="$work/copy" of="$work/alone" bs=16K conv=notrunc status=none
    dd if="$work/copy" of="$work/alone" bs=16K seek=256 conv=notrunc status=none
    [ "$(IBE_LOADER=uboot IBE_STATE=$work/alone image/rootfs/usr/sbin/ibe-bootctl status | tail -n 4 | sed 's/.*=//' | paste -sd:)" = "$2" ] ||
      { echo "copy $number of $1:"; IBE_LOADER=uboot IBE_STATE=$work/alone image/rootfs/usr/sbin/ibe-bootctl status; return 1; }
  done
}
counts() {
  local entry c p t
  for entry in "${states[@]}"; do
    IFS=: read -r c p t <<<"$entry"
    # A slot that is both is no state that ibe-bootctl takes.
    if [ "$p" != "$c" ]; then reads "state-$c-$p-$t" "$c:$p:$((t == 0 || ${#p} == 0 ? t : 0)):0" || return 1; fi
  done
}
damaged() {
  local name right
  while read -r name right; do
    [ "$(chosen "$name")" = "$right" ] || { echo "$name: five starts chose '$(chosen "$name")'; '$right' is right"; return 1; }
  done <<'RIGHT'
first-gone aabbb
first-cut bbbaa
first-checksum bbbbb
first-nameless abbbb
first-newer bbbbb
second-gone bbaaa
both-gone aaaaa
RIGHT
}
mended() { reads first-gone b:a:0:0 && reads first-cut a:b:0:0 && reads second-gone a:b:0:0; }
not_written() { copy first-newer 2 | cmp - "$(block a b 1)" && copy both-gone 1 | cmp - "$work/noise"; }
# A try that cannot be counted is not made.
read_only() {
  local entry c p t
  run_uboot "$work/serial.ro" ,readonly=on || return
  for entry in "${states[@]}"; do
    IFS=: read -r c p t <<<"$entry"
    [ "$(chosen "state-$c-$p-$t" "$work/serial.ro")" = "$c$c$c$c$c" ] || { echo "confirmed=$c pending=$p tries=$t"; return 1; }
  done
}

# boot.scr as a whole where no slot can be started: a, which is pending, has a kernel that is none; b, which is confirmed, has nothing at all.
unreadable() {
  local qemu
  { echo 'setenv state_partition 2' && cat image/loader/choose.cmd image/loader/boot.cmd; } >"$work/whole.cmd"
  mkimage -A arm64 -T script -C none -d "$work/whole.cmd" "$work/boot.scr" >/dev/null
  mcopy -o -i "$work/in/fat.img" "$work/boot.scr" ::
  state pending "$(block b a 3)" "$(block b a 3)"
  truncate -s 8M "$work/in/slot-a" "$work/in/slot-b"
  mkfs.vfat "$work/in/slot-a" >/dev/null
  echo 'slot_arguments=quiet' >"$work/slot.env"
  cp "$work/noise" "$work/vmlinuz"
  cp "$work/noise" "$work/initrd.img"
  mcopy -i "$work/in/slot-a" "$work/slot.env" "$work/vmlinuz" "$work/initrd.img" ::
  make_image 'partition pending { image = "pending" } partition slot-a { image = "slot-a" } partition slot-b { image = "slot-b" }'
  timeout 120 "${machine[@]}" -serial file:"$work/serial.none" -drive "if=none,id=d0,file=$work/out/disk.img,format=raw" &
  qemu=$!
  until grep -a -q 'Trying again' "$work/serial.none" 2>/dev/null; do kill -0 $qemu || return; sleep 0.5; done
  kill $qemu
  # Tried as it is pending; and once more, for it is better than none.
  [ "$(grep -a -o '^slot [ab]' "$work/serial.none" | paste -sd' ')" = 'slot a slot a' ]
}

make_disk
check "U-Boot reads all of it" run_uboot "$work/serial" ''
check "U-Boot: five starts from each of 24 states" chooses
check "U-Boot: ibe-bootctl finds the tries taken off in both copies" counts
check "U-Boot: damaged copies" damaged
check "U-Boot: a try mends the copy that is damaged" mended
check "U-Boot: without a try nothing is written" not_written
check "U-Boot: no try where it cannot be counted" read_only
check "U-Boot: where no slot can be read each is tried, and all of them again later" unreadable
totals
