#!/usr/bin/env bash
# Updates: refused ones change nothing; a good one is confirmed; a broken one, and one whose root is damaged, are taken back. Messages go on all the
# while, and what was accepted arrives. Sourced by test.sh.
# shellcheck shell=bash disable=SC2154,SC2016,SC2034
set -euo pipefail
say "updates"
check "ssh answers" within 300 is_up
# The stick's first free name differs from start to start.
mount_stick() { in_vm 'mkdir -p /run/stick; mountpoint -q /run/stick || for d in /dev/sd?; do mount -o ro $d /run/stick && break; done'; }
check "the stick can be read" within 60 mount_stick

refused() { # refused BUNDLE WORDS: says why, and the slot state is what it was
  local before out
  before=$(in_vm ibe-bootctl status)
  if out=$(in_vm ibe-update "/run/stick/$1.raucb" 2>&1); then echo "was installed"; return 1; fi
  grep -q "$2" <<<"$out" || { echo "$out"; return 1; }
  [ "$(in_vm ibe-bootctl status)" = "$before" ] || { echo "the slot state changed"; return 1; }
}
check "a bundle of another authority is refused" refused other-key 'ignature verification failed'
check "one of another board is refused" refused other-board 'ompatible mismatch'
check "an older one is refused" refused old 'older than'
check "a truncated one is refused" refused truncated ''
check "an altered one is refused" refused altered 'Input/output error\|erity'
check "slot a is confirmed still" within 60 state_is a a '' 0

perl image/tests/ledger.pl "$message_port" "$accepted" &
sender=$!
result_is() { in_vm cat /data/update/result.json | grep -q "\"status\":\"$1\""; }
more_arrives() {
  local before
  before=$(wc -l <"$received")
  within 180 eval "[ \$(wc -l <'$received') -gt $((before + 20)) ]"
}
told() { grep -q "$1" "$vm/mqtt"; }
check "a stick with a good one is installed when it is plugged in" after_restart 900 plug_in update.img
check "MQTT told how far it was" within 60 told '"kind":"update","text":"INSTALLING [^ ]* [0-9]* %'
check "slot b runs, and has yet to prove itself" within 60 state_is b a b 2
check "its version is the bundle's" within 60 in_vm "grep -q 'ibe.version=$version.1 ' /proc/cmdline"
check "the store was set aside" within 60 in_vm test -d /data/update/store
check "messages pass" more_arrives
check "no unit has failed" within 60 clean_start
mount_stick || true
check "an update on top of it is refused" refused broken 'has yet to prove itself'
check "the store that was set aside is still there" within 60 in_vm test -d /data/update/store
check "it is confirmed" within 400 state_is b b '' 0
check "and says so" within 60 result_is CONFIRMED
check "MQTT says so too" within 60 state_tells '"slot":"b","proving":false,"update":{"status":"CONFIRMED"'
check "the stick that is still in is left alone" within 60 in_vm '! pgrep -x ibe-update'
pull_out

check "a broken one is installed over MQTT" after_restart 900 order update u1 "\"url\":\"http://10.0.2.2:$server_port/broken.raucb\","
check "slot a runs it" within 60 running a
check "it is taken back" within 900 running b
check "slot b is confirmed as before" within 60 state_is b b '' 0
check "and it says so" within 60 result_is ROLLED_BACK
check "MQTT says so as an event" within 120 told '"kind":"update","text":"ROLLED_BACK '
check "and in its state" within 60 state_tells '"status":"ROLLED_BACK"'
check "messages pass again" more_arrives

flip() {
  mount_stick && in_vm "rauc install /run/stick/flipped.raucb" || return
  in_vm 'd=/dev/disk/by-partlabel/ibe-root-a; dd if=$d bs=1 skip=100 count=1 2>/dev/null | tr "\000-\377" "\001-\377\000" >/run/byte
    dd if=/run/byte of=$d bs=1 seek=100 conv=notrunc,fsync 2>/dev/null; sync' || return
  in_vm systemctl reboot || true
}
check "a root with a flipped bit is tried three times at most" after_restart 900 flip
check "slot b runs again" within 60 state_is b b '' 0
check "and says so too" within 60 result_is ROLLED_BACK
kill "$sender" 2>/dev/null || true
wait "$sender" 2>/dev/null || true
check "nothing that was accepted is missing" within 180 nothing_lost
