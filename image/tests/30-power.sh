#!/usr/bin/env bash
# A few power cuts in traffic with Debian's own kernel and the boot loader, everything lost that was not flushed: the disk is behind a cache that dies with
# the machine. The many are cuts.sh's. Sourced by test.sh.
# shellcheck shell=bash disable=SC2154
set -euo pipefail
power_cuts=3
say "$power_cuts power cuts"
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
# It comes up and takes messages; then the power goes, at any moment within ten seconds.
takes_messages() { [ "$(wc -l <"$accepted")" -gt $((before + 5)) ]; }
for cut in $(seq $power_cuts); do
  before=$(wc -l <"$accepted")
  power_on_cached
  check "cut $cut: it comes up and takes messages" within 600 takes_messages
  sleep $((RANDOM % 10)).$((RANDOM % 10))
  cut_all
done
kill "$sender" 2>/dev/null || true
wait "$sender" 2>/dev/null || true
power_on
check "it comes up after the last one" within 600 is_up
check "nothing that was accepted is missing after $power_cuts cuts" within 180 nothing_lost
