#!/usr/bin/env bash
# image/tests/cuts-guest.sh NUMBER SEED COUNT: one of the guests of cuts.sh, in a network and with processes of its own.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
# shellcheck source=image/tests/check.sh
source image/tests/check.sh
kinds=(first traffic update confirm reset)
made=0

now_ms() { date +%s%3N; }
accepted_count() { wc -l <"$accepted"; }
starts() { grep -c '^slot' "$guest/starts" || true; }
# restarted: another start than the one that power_on made, and messages are accepted since.
restarted() { [ "$(starts)" -gt "$starts_before" ] && [ "$(accepted_count)" -gt "$(sed -n '$s/.*, \([0-9]*\) accepted/\1/p' "$guest/starts")" ]; }
settled() { in_guest 'ibe-bootctl status' | grep -qx pending=; }
in_background() { in_guest_s=600 in_guest "$@" >"$guest/job.log" 2>&1 & job=$!; }

begin_first() { power_cut; stop_sender; new_medium; power_on; start_sender; }
ended_first() { [ "$(accepted_count)" -gt 0 ]; }

begin_traffic() {
  ( sleep 12; in_guest systemctl reboot ) >"$guest/job.log" 2>&1 &
  job=$!
}
ended_traffic() { restarted; }

# The bundle is the one that does not run.
begin_update() {
  within 240 settled || return
  # shellcheck disable=SC2016  # the guest expands it
  in_background 'mkdir -p /run/stick; mountpoint -q /run/stick || mount -o ro /dev/ubdb /run/stick
    if grep -q "ibe.version=[^ ]*\.2 " /proc/cmdline; then bundle=1; else bundle=2; fi; ibe-update /run/stick/$bundle.raucb'
}
ended_update() { restarted; }

# The other slot gets the contents of this one, as if it had been installed, and is to prove itself.
begin_confirm() {
  local from other
  within 240 settled || return
  power_cut
  from=$(state confirmed) other=$(tr ab ba <<<"$(state confirmed)")
  target=$other
  for first in 3 5; do
    if [ "$from" = a ]; then set -- $first $((first + 1)); else set -- $((first + 1)) $first; fi
    cut_out "$1" $(((first == 3 ? 96 : 512) * 1048576))
    dd if="$guest/part" of="$guest/disk.img" bs=1M oflag=seek_bytes seek=$(($(sector "$2") * 512)) conv=notrunc status=none
  done
  cut_out 2 8M
  IBE_LOADER=grub IBE_STATE=$guest/part image/rootfs/usr/sbin/ibe-bootctl set-primary "$other" || return
  dd if="$guest/part" of="$guest/disk.img" bs=1M oflag=seek_bytes seek=$(($(sector 2) * 512)) conv=notrunc status=none
  power_on
}
ended_confirm() { sleep 1; [ "$(state confirmed)" = "$target" ] && sleep 2; }

# What was accepted before it has arrived; what the store holds is given up by intent.
begin_reset() {
  stop_sender
  within 60 arrived "$(accepted_count)" || return
  in_guest 'touch /data/was-here && sync /data/was-here && sync /data' || return
  in_background 'ibe-bootctl factory-reset && systemctl reboot'
}
ended_reset() { [ "$(starts)" -gt "$starts_before" ] && timeout 2 bash -c "exec 3<>/dev/tcp/$address/7000" 2>/dev/null; }
# It was emptied if the medium said so, and only then.
reset_is_right() {
  if $emptied; then in_guest '[ ! -e /data/was-here ]'; else in_guest '[ -e /data/was-here ]'; fi || { echo "emptied where $emptied is right"; return 1; }
  in_guest 'ibe-bootctl status' | grep -qx reset=0
}

same_device() {
  local identity
  identity=$(in_guest 'cat /ident/machine-id /ident/ssh_host_ed25519_key.pub') || return
  [ -e "$guest/identity" ] || echo "$identity" >"$guest/identity"
  [ "$identity" = "$(cat "$guest/identity")" ] || { echo "another device: $identity"; return 1; }
}
no_failure() {
  local units
  units=$(in_guest "systemctl list-units --failed --no-legend --plain 'ibe-*' 'iobuffer*'") || return
  [ -z "$units" ] || { echo "$units"; return 1; }
}
no_damage() { ! grep -a -e 'UNEXPECTED INCONSISTENCY' -e 'verity.*corrupted' -e 'start: .*Restarting' -e 'Kernel panic' "$guest/serial"; }
more_than() { [ "$(accepted_count)" -gt "$1" ]; }
# comes_up COUNT: after a cut, before which that many had been accepted.
comes_up() {
  local count=$1 began
  power_on || return
  [ -n "${sender:-}" ] || start_sender
  began=$SECONDS
  within 300 more_than "$(accepted_count)" || return
  up_s=$((SECONDS - began))
  reachable
  within 120 same_device && no_failure && within 120 arrived "$count" && in_order && no_damage
}

# What is run here keeps its variables: no subshell.
tell() { # tell NAME COMMAND...
  local name=$1
  shift
  moment='' up_s=''
  if "$@" >"$guest/said" 2>&1; then
    succeeded=$((succeeded + 1))
    printf 'pass  %s%s%s (%d s)\n' "$name" "${moment:+, cut $made of $cuts, at $moment}" "${up_s:+: up after $up_s s}" $SECONDS
  else
    failed=$((failed + 1))
    printf 'FAIL  %s%s: %s\n' "$name" "${moment:+, at $moment}" "$(tail -n 5 "$guest/said")"
    keep_evidence
  fi
}
keep_evidence() {
  local kept=artifacts/logs/image-cuts-$failed-${guest##*/}
  rm -rf "$kept"
  mkdir -p "$kept"
  cp "$guest"/{serial,serial.before,starts,said,job.log,loader.log} "$kept/" 2>/dev/null || true
}

# draw KIND: at, a moment of its length, in milliseconds.
draw() { at=$(((RANDOM * 32768 + RANDOM) * length_ms[$1] >> 30)); }
seconds() { printf '%d.%d' $(($1 / 1000)) $(($1 / 100 % 10)); }
one_cut() { # one_cut KIND NUMBER
  local kind=$1 began at elapsed count restarted=false
  job='' emptied=false starts_before=$(starts)
  "begin_$kind" || return
  case $kind in confirm | first) starts_before=0 ;; esac
  # Every other time nothing arrives while it lasts: what is accepted is in the store alone.
  case $kind$(($2 % 2)) in traffic1 | update1 | confirm1) unreachable ;; esac
  draw "$kind"
  began=$(now_ms)
  while elapsed=$(($(now_ms) - began)) && [ "$elapsed" -lt "$at" ]; do
    if "ended_$kind"; then
      length_ms[$kind]=$(((elapsed + 500) * 11 / 10))
      break
    fi
    sleep 0.3
  done
  count=$(accepted_count)
  [ "$(starts)" -le "$starts_before" ] || restarted=true
  moment="$(seconds "$elapsed") s of $((length_ms[$kind] / 1000)) s"
  made=$((made + 1))
  power_cut
  if [ -n "$job" ]; then
    kill "$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
    ! grep 'Not installed' "$guest/job.log" || return
  fi
  if $restarted || [ "$(state reset)" = 1 ]; then emptied=true; fi
  medium_is_whole || return
  # Two times out of three the start that follows is cut as well.
  while [ $made -lt "$cuts" ] && [ $((RANDOM % 3)) -gt 0 ]; do
    draw first
    moment+=", again after $(seconds "$at") s"
    power_on || return
    sleep "$(seconds "$at")"
    count=$(accepted_count)
    made=$((made + 1))
    power_cut
    medium_is_whole || return
  done
  comes_up "$count" || return
  [ "$kind" != reset ] || reset_is_right
}

# The medium itself is tried first: of two writes, what was flushed is kept in a cut, what was not is gone.
rig_loses() {
  local try begin
  begin=$(($(sector 2) + 4096))
  stop_sender
  for try in 1 2 3; do
    in_guest "printf kept$try | dd of=/dev/disk/by-partlabel/ibe-state bs=512 seek=4096 conv=sync,notrunc,fsync" || return
    in_background "printf lost$try | dd of=/dev/disk/by-partlabel/ibe-state bs=512 seek=4104 oflag=direct conv=sync,notrunc && echo written && sleep 60"
    within 30 grep -q written "$guest/job.log" || return
    power_cut
    kill "$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
    [ "$(dd if="$guest/disk.img" bs=512 skip=$begin count=1 status=none | tr -d '\0')" = "kept$try" ] || { echo "what was flushed is gone"; return 1; }
    comes_up "$(accepted_count)" || return
    # Anything that flushes in between flushes this as well.
    [ "$(dd if="$guest/disk.img" bs=512 skip=$((begin + 8)) count=1 status=none | tr -d '\0')" = "lost$try" ] || return 0
  done
  echo "what was never flushed is kept"
  return 1
}

run_guest() { # run_guest NUMBER SEED COUNT
  local number began first_ms kind
  guest=$folder/guest$1 memory=$folder job='' sender='' machine='' cuts=$3
  RANDOM=$2
  mkdir "$guest"
  # shellcheck source=image/tests/uml.sh
  source image/tests/uml.sh
  trap 'cat "$guest"/serial* >"artifacts/logs/image-cuts-serial-${guest##*guest}.log" 2>/dev/null || true' EXIT
  make_network
  make_provision
  new_medium
  start_receiver
  began=$(now_ms)
  tell "guest $1: a first start, uncut" comes_up 0
  if [ $failed -gt 0 ]; then totals; return; fi
  first_ms=$(($(now_ms) - began))
  # As long as they may be, until one has been seen to its end.
  declare -gA length_ms=([first]=$first_ms [traffic]=$((12000 + first_ms * 3 / 2)) [update]=$((20000 + first_ms * 3)) [confirm]=$((25000 + first_ms))
    [reset]=$((first_ms * 2)))
  [ "$1" != 1 ] || tell "guest $1: what was flushed is kept in a cut, what was not is lost" rig_loses
  # The kinds take turns; each guest begins with another one.
  for ((number = 0; made < cuts && failed < 3; number++)); do
    kind=${kinds[(number + 2 * ($1 - 1)) % 5]}
    tell "guest $1: $kind" one_cut "$kind" $((number / 5))
  done
  totals
}

run_guest "$@"
