#!/usr/bin/env bash
# Power cuts at random moments, with everything lost that was not flushed: the disk is behind a cache that dies with the machine. Sourced by test.sh.
# shellcheck shell=bash disable=SC2154
set -euo pipefail
say "$cuts power cuts"
check "it goes off in order" off
power_on_cached() {
  rm -f "$vm/nbd.sock"
  TMPDIR=$vm nbdkit -f -U "$vm/nbd.sock" --filter=cache file "$vm/disk.img" cache=writeback &
  nbd=$!
  within 10 test -S "$vm/nbd.sock"
  power_on "nbd:unix:$vm/nbd.sock"
}
cut_all() { kill -9 "$qemu" "$nbd" 2>/dev/null; wait "$qemu" "$nbd" 2>/dev/null || true; }
perl image/tests/ledger.pl "$message_port" "$accepted" &
sender=$!
slot_is_clean() { # the confirmed slot's root, against the hash that its boot files name
  local arguments blocks hash salt letter first
  letter=$(IBE_LOADER=grub IBE_STATE=$vm/state.img image/rootfs/usr/sbin/ibe-bootctl get-primary)
  first=$(sgdisk -i $((letter == b ? 4 : 3)) "$vm/disk.img" | awk '/First/ { print $3 }')
  arguments=$(mtype -i "$vm/disk.img@@$((first * 512))" ::slot.env | sed -n 's/.*ibe\.verity=\([^ ]*\).*/\1/p')
  IFS=: read -r blocks hash salt <<<"$arguments"
  first=$(sgdisk -i $((letter == b ? 6 : 5)) "$vm/disk.img" | awk '/First/ { print $3 }')
  dd if="$vm/disk.img" of="$vm/root.check" bs=1M iflag=skip_bytes,count_bytes skip=$((first * 512)) count=$((512 * 1024 * 1024)) status=none
  veritysetup verify --no-superblock --data-blocks="$blocks" --hash-offset=$((blocks * 4096)) --salt="$salt" "$vm/root.check" "$vm/root.check" "$hash"
}
one_cut() {
  local before
  before=$(wc -l <"$accepted")
  power_on_cached
  # It comes up and takes messages; then the power goes, at any moment within ten seconds.
  within 600 eval "[ \$(wc -l <'$accepted') -gt $((before + 5)) ]" || return
  sleep $((RANDOM % 10)).$((RANDOM % 10))
  cut_all
}
for cut in $(seq "$cuts"); do check "cut $cut: it comes up and takes messages" one_cut; done
kill "$sender" 2>/dev/null || true
wait "$sender" 2>/dev/null || true
power_on
check "it comes up after the last one" within 600 is_up
check "nothing that was accepted is missing after $cuts cuts" within 120 nothing_lost
