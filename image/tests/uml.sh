#!/usr/bin/env bash
# Sourced by cuts.sh: the disk image in user-mode Linux, cut off from its power with everything lost that was not flushed. All of the guest's writes lie in
# nbdkit's cache until the guest flushes; nbdfuse makes a file of that, which is the guest's disk; a cut kills all three of them at once. The network is
# this namespace's own. Sender and receiver write down outside of the guest what was accepted and what arrived.
# shellcheck shell=bash disable=SC2154
set -euo pipefail
address=10.9.0.2
# Without a part in any of this, and a third of a start.
idle=(systemd-{resolved,timesyncd,modules-load,sysctl,network-generator}.service modprobe@.service sys-kernel-{config,debug,tracing}.mount)
accepted=$guest/accepted received=$guest/received

# sector NUMBER: of a partition's begin.
sector() { sfdisk -d "$guest/disk.img" 2>/dev/null | sed -n "s/.*img$1 : start= *\([0-9]*\),.*/\1/p"; }
make_network() {
  ip link set lo up
  ip tuntap add dev tap0 mode tap
  ip addr add 10.9.0.1/24 dev tap0
  ip link set tap0 up
  reachable
}
# The receiver's address, and with it what arrives, can be taken away: connections stand still then, and nothing that arrived is lost.
reachable() { ip addr add 10.9.0.3/24 dev tap0 2>/dev/null || true; }
unreachable() { ip addr del 10.9.0.3/24 dev tap0; }

# new_medium: the image as it is written to a card, what the user put into provision/ on it.
new_medium() {
  rm -f "$guest/disk.img" "$guest/known_hosts" "$guest/identity" "$accepted" "$received"
  : >"$accepted"
  : >"$received"
  cp --sparse=always "$image_disk" "$guest/disk.img"
  truncate -s 3G "$guest/disk.img"
  mcopy -s -i "$guest/disk.img@@$(($(sector 1) * 512))" "$guest/provision" ::
  cat >"$guest/settings" <<SETTINGS
kernel=$kernel memory_mb=768 stick=$stick
state_sector=$(sector 2) boot_a_sector=$(sector 3) boot_b_sector=$(sector 4)
arguments=(ibe.health_steady_s=10 quiet systemd.show_status=error ${idle[*]/#/systemd.mask=})
SETTINGS
}
make_provision() {
  mkdir -p "$guest/provision/network"
  ssh-keygen -q -t ed25519 -N '' -f "$guest/key"
  cp "$guest/key.pub" "$guest/provision/network/authorized_keys"
  printf '[Match]\nName=vec*\n[Network]\nAddress=%s/24\n' "$address" >"$guest/provision/network/10-wired.network"
  cat >"$guest/provision/device.json" <<JSON
{ "schema_version": 1, "device": { "id": "vm" }, "channels": [ { "id": "scale",
    "source": { "type": "tcp_server", "host": "0.0.0.0", "port": 7000, "framing": { "type": "line" }, "ack": { "type": "bytes", "ack_hex": "06" } },
    "destination": { "type": "tcp_client", "host": "10.9.0.3", "port": 9000, "confirm": { "type": "transport" } } } ] }
JSON
}

insert_medium() {
  rm -f "$guest/nbd.sock"
  TMPDIR=$guest nbdkit -f -U "$guest/nbd.sock" --filter=cache file "$guest/disk.img" cache=writeback >>"$guest/nbdkit.log" 2>&1 &
  nbd=$!
  within 10 test -S "$guest/nbd.sock" || return
  mkdir -p "$guest/medium"
  nbdfuse "$guest/medium/disk" --unix "$guest/nbd.sock" >>"$guest/nbdkit.log" 2>&1 &
  fuse=$!
  within 10 test -s "$guest/medium/disk"
}
# lose_medium: what was not flushed is gone.
lose_medium() {
  kill -9 "$nbd" "$fuse" 2>/dev/null || true
  wait "$nbd" "$fuse" 2>/dev/null || true
  umount -l "$guest/medium" 2>/dev/null || true
}
power_on() {
  insert_medium || return
  : >"$guest/starts"
  cat "$guest/serial" >>"$guest/serial.before" 2>/dev/null || true
  : >"$guest/serial"
  TMPDIR=$memory unshare --pid --fork --kill-child image/tests/uml-loader.sh "$guest" >>"$guest/loader.log" 2>&1 &
  machine=$!
}
power_cut() {
  local first
  first=$(pgrep -P "$machine" || true)
  # The medium first: nothing reaches it from here on.
  kill -9 "$nbd" "$machine" 2>/dev/null || true
  lose_medium
  wait "$machine" 2>/dev/null || true
  [ -z "$first" ] || within 30 eval "[ ! -e /proc/$first ]"
  rm -f "$guest"/nbdkit*[!g]
}

in_guest() {
  timeout "${in_guest_s:-60}" ssh -q -i "$guest/key" -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile="$guest/known_hosts" -o ConnectTimeout=10 \
    -o BatchMode=yes "root@$address" "$@" </dev/null
}
start_receiver() {
  socat -u TCP-LISTEN:9000,reuseaddr,fork OPEN:"$received",creat,append &
}
start_sender() {
  # No faster than that: the other guests start meanwhile.
  LEDGER_PAUSE_S=0.2 perl image/tests/ledger.pl "$address:7000" "$accepted" &
  sender=$!
}
stop_sender() {
  [ -n "${sender:-}" ] || return 0
  kill "$sender" 2>/dev/null || true
  wait "$sender" 2>/dev/null || true
  sender=
}

# arrived COUNT: the first COUNT that were accepted have arrived.
arrived() {
  head -n "$1" "$accepted" | sed 's/^/message /' | sort -u >"$guest/accepted.sorted"
  sort -u "$received" | comm -23 "$guest/accepted.sorted" - >"$guest/missing"
  [ ! -s "$guest/missing" ] || { echo "accepted and not received: $(wc -l <"$guest/missing"), first $(head -n 1 "$guest/missing")"; return 1; }
}
# Apart from repeats, one after the other.
in_order() { awk '!seen[$0]++ { if ($2 + 0 <= last) { print "message " $2 " came behind " last; exit 1 } last = $2 + 0 }' "$received"; }

# --- what is on the medium while it is off
cut_out() { dd if="$guest/disk.img" of="$guest/part" bs=1M iflag=skip_bytes,count_bytes skip=$(($(sector "$1") * 512)) count="$2" status=none; }
slot_is_clean() { # slot_is_clean SLOT: its root, against the hash that its boot files name
  local blocks hash salt boot=3 root=5
  [ "$1" = a ] || boot=4 root=6
  IFS=: read -r blocks hash salt <<<"$(mtype -i "$guest/disk.img@@$(($(sector $boot) * 512))" ::slot.env | sed -n 's/.*ibe\.verity=\([^ ]*\).*/\1/p')"
  [ -n "$salt" ] || { echo "slot $1 names no hash"; return 1; }
  cut_out $root 512M
  veritysetup verify --no-superblock --data-blocks="$blocks" --hash-offset=$((blocks * 4096)) --salt="$salt" "$guest/part" "$guest/part" "$hash" ||
    { echo "slot $1 is damaged"; return 1; }
}
# state NAME: of the slot state, as the next start reads it.
state() {
  cut_out 2 8M
  IBE_LOADER=grub IBE_STATE=$guest/part image/rootfs/usr/sbin/ibe-bootctl status | sed -n "s/^$1=//p"
}
state_is_readable() {
  local place
  cut_out 2 8M
  for place in 131072 4325376; do
    dd if="$guest/part" of="$guest/copy" bs=512 skip=$((place / 512)) count=2 status=none
    ! grub-editenv "$guest/copy" list 2>/dev/null | grep -q '^confirmed=[ab]$' || return 0
  done
  echo "neither copy of the slot state can be read"
  return 1
}
loader_is_whole() {
  local place=@@$(($(sector 1) * 512)) file=::EFI/BOOT/BOOTX64.EFI
  cmp <(mtype -i "$guest/disk.img$place" $file) <(mtype -i "$image_disk$place" $file)
}
medium_is_whole() {
  local pending
  sfdisk -q --verify "$guest/disk.img" >"$guest/verify" 2>&1 || { cat "$guest/verify"; return 1; }
  loader_is_whole && state_is_readable && slot_is_clean "$(state confirmed)" || return
  # What would be started has been written as a whole.
  pending=$(state pending)
  if [ -n "$pending" ] && [ "$(state tries)" != 0 ]; then slot_is_clean "$pending"; fi
}
