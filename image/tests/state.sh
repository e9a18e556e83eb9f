#!/usr/bin/env bash
# image/tests/state.sh: the slot state machine without a device. ibe-bootctl in both forms against files that GRUB's and U-Boot's own tools write
# and read, in every state and with every command; torn and damaged copies; then choose.cfg in GRUB itself, in every state, in one start of QEMU.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$here/../../scripts/lib.sh"
# shellcheck source=image/tests/check.sh
source "$here/check.sh"

install_missing "tests of the slot state" grub-common u-boot-tools grub-efi-amd64-bin genimage mtools dosfstools qemu-system-x86 ovmf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
state=$work/state.img
truncate -s 8M "$state"
bootctl() { IBE_LOADER=$loader IBE_STATE=$state image/rootfs/usr/sbin/ibe-bootctl "$@"; }

places() { if [ "$loader" = grub ]; then size=1024 first=131072 second=4325376; else size=16384 first=0 second=4194304; fi; }
# block CONFIRMED PENDING TRIES RESET: as the loader's own tool writes it.
block() {
  local out=$work/block-$loader-$1-$2-$3-$4
  if [ ! -e "$out" ]; then
    if [ "$loader" = grub ]; then
      grub-editenv "$out" create
      grub-editenv "$out" set confirmed="$1" pending="$2" tries="$3" reset="$4"
    else
      printf 'confirmed=%s\npending=%s\ntries=%s\nreset=%s\n' "$1" "$2" "$3" "$4" | mkenvimage -s 16384 -p 0 -o "$out" - 2>/dev/null
    fi
  fi
  echo "$out"
}
put() { dd if="$1" of="$state" bs=512 seek=$(($2 / 512)) conv=notrunc status=none; }
get() { dd if="$state" bs=512 skip=$(($1 / 512)) count=$((size / 512)) status=none; }
# set_state, is_state C P T R: both copies.
set_state() { put "$(block "$@")" $first && put "$(block "$@")" $second; }
is_state() {
  local place
  for place in $first $second; do
    get "$place" >"$work/now"
    if [ "$loader" = grub ]; then
      diff <(grub-editenv "$work/now" list | sort) <(grub-editenv "$(block "$@")" list | sort) || return 1
    else
      cmp "$work/now" "$(block "$@")" || return 1
    fi
  done
}

other() { if [ "$1" = a ]; then echo b; else echo a; fi; }
# expect STATE COMMAND...: what the machine's definition says; sets c p t r and answer, or refused.
expect() {
  c=$1 p=$2 t=$3 r=$4 answer='' refused=false
  shift 4
  case "$1 ${2:-} ${3:-}" in
    'get-primary  ') answer=$c; if [ -n "$p" ] && [ "$t" != 0 ]; then answer=$p; fi ;;
    get-state*) answer=bad; if [ "$2" = "$c" ] || { [ "$2" = "$p" ] && [ "$t" != 0 ]; }; then answer=good; fi ;;
    set-primary*) if [ "$2" = "$c" ]; then p='' t=0; else p=$2 t=3; fi ;;
    'set-state '?' good') c=$2 p='' t=0 ;;
    'set-state '?' bad') if [ "$2" = "$c" ]; then refused=true; elif [ "$2" = "$p" ]; then t=0; fi ;;
    'factory-reset  ') r=1 ;;
    'factory-reset done ') r=0 ;;
    'repair  ') ;;
    *) return 1 ;;
  esac
}
every_state() {
  local confirmed pending tries reset command out count=0
  for confirmed in a b; do for pending in '' "$(other $confirmed)"; do for tries in 0 1 2 3; do for reset in 0 1; do
    for command in get-primary 'get-state a' 'get-state b' 'set-primary a' 'set-primary b' 'set-state a good' 'set-state b good' 'set-state a bad' \
      'set-state b bad' factory-reset 'factory-reset done' repair; do
      set_state $confirmed "$pending" $tries $reset
      # shellcheck disable=SC2086
      expect $confirmed "$pending" $tries $reset $command
      # shellcheck disable=SC2086
      if out=$(bootctl $command 2>/dev/null); then ended=false; else ended=true; fi
      if [ "$ended" != "$refused" ] || [ "$out" != "$answer" ] || ! is_state "$c" "$p" "$t" "$r"; then
        echo "confirmed=$confirmed pending=$pending tries=$tries reset=$reset, $command: '$out'; '$answer' was right, then $c '$p' $t $r"
        return 1
      fi
      count=$((count + 1))
    done
  done; done; done; done
  [ $count -eq 384 ]
}
# reads CONFIRMED PENDING TRIES...: the state that is read now is one of these, each "C:P:T".
reads() {
  local now
  now=$(bootctl status | sed -n 's/^confirmed=//p; s/^pending=/:/p; s/^tries=/:/p' | tr -d '\n')
  [[ " $* " == *" $now "* ]] || { echo "reads $now; right were: $*"; return 1; }
}
# The write from a pending b to a confirmed b, cut off behind every sector of either copy, the sector being old, new, zeros or noise.
torn() {
  local new place cut sector
  new=$(block b '' 0 0)
  head -c 512 /dev/urandom >"$work/noise"
  head -c 512 /dev/zero >"$work/zeros"
  for place in $first $second; do
    for cut in $(seq 0 $((size / 512 - 1))); do
      for sector in zeros noise old; do
        set_state a b 1 0
        [ "$place" = $first ] || put "$new" $first
        dd if="$new" of="$state" bs=512 count="$cut" seek=$((place / 512)) conv=notrunc status=none
        [ $sector = old ] || dd if="$work/$sector" of="$state" bs=512 seek=$((place / 512 + cut)) conv=notrunc status=none
        # Without a checksum GRUB's own form is whole when its first sector is.
        if [ "$place" = $first ]; then reads a:b:1 b::0; else reads b::0; fi || { echo "copy at $place, $sector at sector $cut"; return 1; }
        bootctl repair && { reads a:b:1 && is_state a b 1 0 || is_state b '' 0 0; } || return 1
      done
    done
  done
}
both_gone() {
  head -c $size /dev/urandom >"$work/noise"
  put "$work/noise" $first && put "$work/noise" $second && reads a::0 && bootctl repair && is_state a '' 0 0
}
refuses() { ! bootctl "$@" 2>"$work/said" && [ "$(wc -l <"$work/said")" -eq 1 ]; }
bad_words() {
  refuses && refuses start && refuses set-primary && refuses set-primary c && refuses set-state a && refuses set-state a fine &&
    refuses factory-reset now
}

for loader in grub uboot; do
  places
  check "$loader: every command in every state" every_state
  check "$loader: a write that is cut off leaves the old state or the new one" torn
  check "$loader: with both copies gone slot a starts" both_gone
  check "$loader: what is not a command is refused in one sentence" bad_words
done

# --- choose.cfg in GRUB itself
loader=grub
places
states=()
for confirmed in a b; do for pending in '' a b; do for tries in 0 1 2 3; do states+=("$confirmed:$pending:$tries"); done; done; done
# shellcheck disable=SC2016  # GRUB expands these
make_disk() {
  mkdir -p "$work/fat" "$work/in" "$work/out" "$work/tmp" "$work/empty"
  {
    printf 'serial --unit=0 --speed=115200\nterminal_output serial\nregexp --set=1:disk "\\((hd[0-9]+)" "$cmdpath"\n'
    for name in "${names[@]}"; do
      printf 'set copy1="($disk,gpt1)/%s1"\nset copy2="($disk,gpt1)/%s2"\n' "$name" "$name"
      # Five starts in a row.
      for _ in 1 2 3 4 5; do printf 'source (memdisk)/boot/grub/choose.cfg\necho "chose %s $slot"\n' "$name"; done
    done
    printf 'echo "chose end"\nhalt\n'
  } >"$work/test.cfg"
  modules="part_gpt fat loadenv regexp serial terminal echo test normal configfile halt"
  grub-mkstandalone -O x86_64-efi -o "$work/in/BOOTX64.EFI" --modules="$modules" --install-modules="$modules" --locales= --fonts= --themes= \
    boot/grub/grub.cfg="$work/test.cfg" boot/grub/choose.cfg=image/loader/choose.cfg
  truncate -s 64M "$work/in/fat.img"
  mkfs.vfat "$work/in/fat.img" >/dev/null
  mmd -i "$work/in/fat.img" ::EFI ::EFI/BOOT
  mcopy -i "$work/in/fat.img" "$work/in/BOOTX64.EFI" ::EFI/BOOT/
  mcopy -i "$work/in/fat.img" "$work"/fat/* ::
  printf 'image disk.img { hdimage { partition-table-type = "gpt" align = 1M } partition esp { image = "fat.img" %s } }\n' \
    'partition-type-uuid = "U"' >"$work/disk.cfg"
  genimage --config "$work/disk.cfg" --rootpath "$work/empty" --inputpath "$work/in" --outputpath "$work/out" --tmppath "$work/tmp" >/dev/null 2>&1
}
names=()
for entry in "${states[@]}"; do
  IFS=: read -r c p t <<<"$entry"
  name=s${#names[@]}
  mkdir -p "$work/fat"
  cp "$(block "$c" "$p" "$t" 0)" "$work/fat/${name}1"
  cp "$(block "$c" "$p" "$t" 0)" "$work/fat/${name}2"
  names+=("$name")
done
# The first copy is gone; both are.
head -c 1024 /dev/urandom >"$work/fat/torn1"
cp "$(block b a 2 0)" "$work/fat/torn2"
head -c 1024 /dev/urandom >"$work/fat/gone1"
head -c 1024 /dev/zero >"$work/fat/gone2"
names+=(torn gone)
chosen() { grep -a -o "chose $1 [ab]" "$work/serial" | cut -d' ' -f3 | tr -d '\n'; }
run_grub() {
  make_disk && cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/vars.fd" || return
  timeout 300 qemu-system-x86_64 -M q35 -accel tcg -m 256 -nographic -nodefaults -serial file:"$work/serial" -monitor none -no-reboot \
    -drive if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd -drive if=pflash,format=raw,unit=1,file="$work/vars.fd" \
    -drive if=none,id=d0,file="$work/out/disk.img",format=raw -device virtio-blk-pci,drive=d0 || true
  grep -a -q 'chose end' "$work/serial"
}
grub_chooses() {
  local index=0 entry right
  for entry in "${states[@]}"; do
    IFS=: read -r c p t <<<"$entry"
    right=$(for start in 1 2 3 4 5; do if [ -n "$p" ] && [ "$start" -le "$t" ]; then printf %s "$p"; else printf %s "$c"; fi; done)
    [ "$(chosen s$index)" = "$right" ] || { echo "confirmed=$c pending=$p tries=$t: five starts chose '$(chosen s$index)'; '$right' is right"; return 1; }
    index=$((index + 1))
  done
  [ $index -eq 24 ]
}
grub_counts() { # both copies have lost their tries on the medium
  local number
  mcopy -i "$work/out/disk.img@@1M" ::s11'[12]' "$work/" && for number in 1 2; do grub-editenv "$work/s11$number" list | grep -x 'tries=0' || return 1; done
}
grub_torn() { [ "$(chosen torn)" = aabbb ] && [ "$(chosen gone)" = aaaaa ]; }
check "GRUB reads all of it" run_grub
check "GRUB: five starts from each of 24 states" grub_chooses
check "GRUB: tries are counted in both copies" grub_counts
check "GRUB: the second copy where the first is gone; slot a where both are" grub_torn
totals
