#!/usr/bin/env bash
# image/tests/uml-loader.sh GUEST: the boot loader and the power switch of a guest in user-mode Linux (uml.sh), the guest's first process on the host. It
# does with the medium what image/loader/grub.cfg and choose.cfg do, with GRUB's own tool, then starts the lab's kernel with the slot's initrd and
# arguments. A guest that restarts comes back here; one that switches off ends it.
# shellcheck disable=SC2154
set -euo pipefail
guest=$1
# What uml.sh wrote down of this guest.
# shellcheck source=/dev/null
source "$guest/settings"
medium=$guest/medium/disk work=$guest/loader
mkdir -p "$work"

# The two copies of the slot state, GRUB's blocks of 1,024 bytes.
places=($((state_sector * 512 + 131072)) $((state_sector * 512 + 4325376)))
get() { dd if="$medium" of="$work/copy$1" bs=512 skip=$((places[$1] / 512)) count=2 status=none; }
put() { dd if="$work/copy$1" of="$medium" bs=512 seek=$((places[$1] / 512)) conv=notrunc,fsync status=none; }
variable() { grub-editenv "$work/copy$1" list 2>/dev/null | sed -n "s/^$2=//p"; }

choose() {
  local copy good='' tries
  confirmed=a pending=
  for copy in 0 1; do
    get $copy
    case $(variable $copy confirmed) in
      a | b) [ -n "$good" ] || good=$copy ;;
    esac
  done
  slot=a
  [ -n "$good" ] || return 0
  confirmed=$(variable "$good" confirmed) pending=$(variable "$good" pending) tries=$(variable "$good" tries)
  slot=$confirmed
  case $pending$tries in
    [ab][123])
      # A try is taken off in both copies, the good one first, and is on the medium before the slot starts.
      for copy in "$good" $((1 - good)); do
        if grub-editenv "$work/copy$copy" set "tries=$((tries - 1))" 2>/dev/null; then put "$copy"; fi
      done
      slot=$pending
      ;;
  esac
}

# read_slot SLOT: its boot files; fails where one cannot be read.
read_slot() {
  local sector=$boot_a_sector name
  [ "$1" = a ] || sector=$boot_b_sector
  for name in vmlinuz initrd.img slot.env; do
    rm -f "$work/$name"
    mcopy -n -i "$medium@@$((sector * 512))" "::$name" "$work/$name" 2>/dev/null || return 1
  done
  slot_arguments=$(sed -n 's/^slot_arguments=//p' "$work/slot.env")
  [ -n "$slot_arguments" ]
}

while :; do
  choose
  if ! read_slot "$slot"; then
    echo "slot $slot cannot be read" >>"$guest/starts"
    slot=$confirmed
    if ! read_slot "$slot"; then
      slot=$(tr ab ba <<<"$confirmed")
      read_slot "$slot" || { echo "no slot can be read" >>"$guest/starts"; exit 1; }
    fi
  fi
  started=()
  [ "$slot" = "$confirmed" ] || started=(ibe.pending=1)
  printf 'slot %s %s, %d accepted\n' "$slot" "${started[*]:-confirmed}" "$(wc -l <"$guest/accepted")" >>"$guest/starts"
  # The consoles of the slot's arguments are a PC's.
  words=()
  for word in $slot_arguments; do [[ $word == console=* ]] || words+=("$word"); done
  # To restart, this kernel executes its own name; to switch off, it ends with 0.
  if ( exec -a false "$kernel" mem="${memory_mb}M" ubd0t="$medium" ubd1r="$stick" initrd="$work/initrd.img" vec0:transport=tap,ifname=tap0,depth=64 \
    con0=null,fd:1 con=null ssl=null "${words[@]}" "${arguments[@]}" ibe.slot="$slot" rauc.slot="$slot" "${started[@]}" \
    </dev/null >>"$guest/serial" 2>&1 ); then
    exit 0
  fi
done
