#!/usr/bin/env bash
# The first start: what a user does to a card before it goes into the device, and what comes of it. Sourced by test.sh.
# shellcheck shell=bash disable=SC2154,SC2034
set -euo pipefail
say "first start"
cp --sparse=always "artifacts/image/$board"/disk*.img "$vm/disk.img"
truncate -s 3G "$vm/disk.img"
ssh-keygen -q -t ed25519 -N '' -f "$vm/key"
mkdir -p "$vm/provision/network"
cp "$vm/key.pub" "$vm/provision/network/authorized_keys"

cat >"$vm/provision/device.json" <<JSON
{ "schema_version": 1, "device": { "id": "vm" },
  "mqtt": { "host": "10.0.2.2", "port": $broker_port, "commands": ["update", "factory_reset"] }, "channels": [ { "id": "scale",
    "source": { "type": "tcp_server", "host": "0.0.0.0", "port": 7000, "framing": { "type": "line" }, "ack": { "type": "bytes", "ack_hex": "06" } },
    "destination": { "type": "tcp_client", "host": "10.0.2.2", "port": $receiver_port, "confirm": { "type": "transport" } } } ] }
JSON
mcopy -s -i "$vm/disk.img@@8M" "$vm/provision" ::

tables_agree() { sgdisk -v "$vm/disk.img" 2>/dev/null | grep -q 'No problems found' || sfdisk -q --verify "$vm/disk.img"; }
state_is() { # state_is RUNNING CONFIRMED PENDING TRIES
  [ "$(in_vm ibe-bootctl status | head -n 4 | sed 's/.*=//' | paste -sd:)" = "$1:$2:$3:$4" ] || { in_vm ibe-bootctl status; return 1; }
}
running() { in_vm ibe-bootctl status | grep -qx "running=$1"; }
grown() { [ "$(in_vm df --output=size -m /data | tail -n 1)" -gt 1200 ]; }
root_is_read_only() { in_vm 'findmnt -n -o FSTYPE,OPTIONS /' | grep -q '^squashfs ro' && ! in_vm touch /usr/x 2>/dev/null; }
root_is_verified() { in_vm dmsetup table ibe-root | grep -q verity && in_vm dmsetup status ibe-root | grep -q 'verity V'; }
journal_in_memory() { in_vm '[ -d /run/log/journal ] && [ ! -d /var/log/journal ]'; }
watchdog_runs() { [ "$(in_vm systemctl show -P RuntimeWatchdogUSec)" = 15s ] && in_vm cat /sys/class/watchdog/watchdog0/state | grep -qx active; }
# What was provisioned, and the resolver on the loopback.
only_it_listens() {
  local listening
  listening=$(in_vm 'ss -H -l -n -t -u' | awk '{ print $5 }' |
    grep -v -e '^127\.' -e '^\[::1\]' -e '%lo:' -e ':68$' -e ':546$' | sort -u | paste -sd' ')
  [ "$listening" = '0.0.0.0:22 0.0.0.0:7000 [::]:22' ] || { echo "$listening"; return 1; }
}
keys_have_left() { [ -s "$vm/known_hosts" ] && in_vm 'stat -c %a /ident/ssh_host_ed25519_key' | grep -qx 600; }
clean_start() { [ "$(in_vm systemctl list-units --failed --no-legend | wc -l)" = 0 ]; }
no_password() { in_vm "awk -F: '\$2 !~ /^[*!]/' /etc/shadow" | wc -l | grep -qx 0; }

start_broker
power_on
check "it comes up, and takes the provisioned key" within 600 is_up
check "slot a runs and is confirmed" state_is a a '' 0
check "the data partition has grown" grown
check "the root is read-only" root_is_read_only
check "the root is verified block by block" root_is_verified
check "the journal lies in memory" journal_in_memory
check "the hardware watchdog is armed" watchdog_runs
check "the host key is the device's own" keys_have_left
check "no account has a password" no_password
check "the gateway is active" within 120 in_vm systemctl is-active iobuffer
check "no unit has failed" clean_start

told_back() {
  in_vm 'mount -o ro /run/ibe-boot /boot/firmware && cat /boot/firmware/provision/result.txt; umount /boot/firmware' >"$vm/result"
  [ -s "$vm/result" ] && ! grep 'Nothing was taken' "$vm/result"
}
check "what was provisioned is told back beside it" told_back
check "nothing else listens than was provisioned" within 90 only_it_listens
start_receiver
check "messages are accepted" timeout 60 perl image/tests/ledger.pl "$message_port" "$accepted" 50
check "all of them arrive" within 180 nothing_lost
state_tells() { state | grep -q "$1"; }
check "MQTT tells which image runs" within 60 state_tells '"image":{"version":"[^"]*","slot":"a","proving":false}'
sleep 20
idle=$(in_vm 'free -m; echo; systemctl show -P MemoryCurrent iobuffer')
stood=$(in_vm 'systemctl start ibe-clock && cat /data/clock')
check "it goes off in order" off
check "the partition table is whole" tables_agree

say "second start, cold"
started=$(date +%s%3N)
: >"$vm/first"
count_before=$(wc -l <"$received")
# The machine's clock has lost its battery.
clock=(-rtc base=2021-01-01T00:00:00)
power_on
clock=()
timeout 600 perl image/tests/ledger.pl "$message_port" "$accepted" 1 &
sender=$!
first_arrives() { [ "$(wc -l <"$received")" -gt "$count_before" ]; }
check "the first message is forwarded" within 600 first_arrives
printf '   boot to first forwarded message: %s s (the emulator needed %s s of processor time); idle: %s MB of %s MB used, the gateway %s MB\n' \
  "$((($(date +%s%3N) - started) / 1000))" "$(ps -o cputimes= -p "$qemu" | tr -d ' ')" \
  "$(awk '/^Mem/ { print $3 }' <<<"$idle")" "$(awk '/^Mem/ { print $2 }' <<<"$idle")" "$(tail -n 1 <<<"$idle" | awk '{ printf "%.1f", $1 / 1048576 }')"
wait "$sender" || true
check "the host keys are those of before" within 300 is_up
check "again no unit has failed" clean_start
clock_goes_on() { [ -n "$stood" ] && [ "$(in_vm date +%s)" -ge "$stood" ]; }
check "its clock goes on from where it stood" clock_goes_on
