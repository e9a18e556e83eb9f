#!/usr/bin/env bash
# Shared by the tests that boot the image: a machine with UEFI whose every instruction is emulated (KVM is not asked for), its disk, a stick, a network
# that reaches the test alone; ssh into it, a sender and a receiver outside of it. Sourced, never run.
# shellcheck shell=bash disable=SC2154
set -euo pipefail
memory_mb=768
clock=()
# What the sender and the receiver outside the machine have seen.
accepted=$vm/accepted received=$vm/received

free_port() { perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport'; }
ssh_port=$(free_port) message_port=$(free_port) receiver_port=$(free_port) broker_port=$(free_port) server_port=$(free_port)

# Sets machine, with what starts it.
firmware() {
  local code='' vars=
  case $board in
    vm-x86_64)
      code=/usr/share/OVMF/OVMF_CODE_4M.fd vars=/usr/share/OVMF/OVMF_VARS_4M.fd
      machine=(qemu-system-x86_64 -M q35)
      ;;
    vm-arm64)
      code=/usr/share/AAVMF/AAVMF_CODE.fd vars=/usr/share/AAVMF/AAVMF_VARS.fd
      machine=(qemu-system-aarch64 -M virt -cpu cortex-a53)
      ;;
    rpi-arm64)
      # Not a Raspberry Pi, but its slots, its root and its boot script.
      machine=(qemu-system-aarch64 -M virt -cpu cortex-a53 -bios /usr/lib/u-boot/qemu_arm64/u-boot.bin)
      ;;
  esac
  [ -n "$code" ] || return 0
  [ -e "$vm/vars.fd" ] || cp "$vars" "$vm/vars.fd"
  machine+=(-drive "if=pflash,format=raw,unit=0,readonly=on,file=$code" -drive "if=pflash,format=raw,unit=1,file=$vm/vars.fd")
}

# power_on [DISK]: an NBD address or a file; disk.img of the test unless named.
power_on() {
  firmware
  [ ! -e "$vm/serial" ] || cat "$vm/serial" >>"$vm/serial.before"
  "${machine[@]}" -accel tcg,thread=multi -m $memory_mb -smp 2 "${clock[@]}" -nographic -nodefaults -serial file:"$vm/serial" \
    -monitor unix:"$vm/monitor",server,nowait -device i6300esb \
    -drive if=none,id=d0,file="${1:-$vm/disk.img}",format=raw,cache=writeback -device virtio-blk-pci,drive=d0,bootindex=1 \
    -drive if=none,id=d1,file="$vm/stick.img",format=raw,readonly=on -device qemu-xhci -device usb-storage,drive=d1 \
    -netdev user,id=n,hostfwd=tcp:127.0.0.1:"$ssh_port"-:22,hostfwd=tcp:127.0.0.1:"$message_port"-:7000 -device virtio-net-pci,netdev=n \
    -device virtio-rng-pci </dev/null >"$vm/qemu.log" 2>&1 &
  qemu=$!
}
in_vm() {
  timeout "${in_vm_s:-120}" ssh -q -i "$vm/key" -p "$ssh_port" -o StrictHostKeyChecking=no -o UserKnownHostsFile="$vm/known_hosts" -o ConnectTimeout=15 \
    -o BatchMode=yes root@127.0.0.1 "$@" </dev/null
}
is_up() { in_vm true; }
off() { in_vm systemctl poweroff || true; within 120 is_off; }
is_off() { ! kill -0 "$qemu" 2>/dev/null; }
boot_id() { in_vm cat /proc/sys/kernel/random/boot_id; }
# after_restart SECONDS COMMAND...: and then another boot is up within that time.
after_restart() {
  local before seconds=$1
  shift
  before=$(boot_id) || return
  "$@" || return
  within "$seconds" eval "now=\$(boot_id) && [ -n \"\$now\" ] && [ \"\$now\" != '$before' ]"
}

# plug_in IMAGE: another stick, while it runs; pull_out: the same.
monitor() { printf '%s\n' "$@" | socat -t 2 - "unix-connect:$vm/monitor" >/dev/null; }
plug_in() { monitor "drive_add 0 if=none,id=d2,file=$vm/$1,format=raw,readonly=on" "device_add usb-storage,id=stick2,drive=d2"; }
pull_out() { monitor "device_del stick2"; }

# The broker and the server with bundles, as the device sees them at 10.0.2.2; what is published goes to $vm/mqtt.
# Words before a command, not a function: what runs in the background is then the program itself, which finish ends.
peer=(env LD_LIBRARY_PATH=artifacts/peers/usr/lib/x86_64-linux-gnu)
start_broker() {
  printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$broker_port" >"$vm/mosquitto.conf"
  "${peer[@]}" artifacts/peers/usr/sbin/mosquitto -c "$vm/mosquitto.conf" >"$vm/mosquitto.log" 2>&1 &
  broker=$!
  within 20 broker_answers
  "${peer[@]}" artifacts/peers/usr/bin/mosquitto_sub -p "$broker_port" -t 'iobuffer/v1/#' -v >"$vm/mqtt" 2>/dev/null &
  listener=$!
  busybox httpd -f -p "127.0.0.1:$server_port" -h "$vm/served" &
  server=$!
}
broker_answers() { "${peer[@]}" artifacts/peers/usr/bin/mosquitto_pub -p "$broker_port" -t try -n; }
state() { "${peer[@]}" artifacts/peers/usr/bin/mosquitto_sub -p "$broker_port" -t iobuffer/v1/vm/state -C 1 -W 10; }
broker_says() { "${peer[@]}" artifacts/peers/usr/bin/mosquitto_pub -p "$broker_port" -t "iobuffer/v1/vm/$1" -m "$2"; }
# order TYPE ID KEYS: a command, once the broker has the state of this boot.
state_is_new() {
  local id
  id=$(boot_id) && state | grep -q "\"boot_id\":\"$id\""
}
order() { within 180 state_is_new && broker_says "cmd/$1/$2" "{$3\"boot_id\":\"$(boot_id)\"}"; }

start_receiver() {
  socat -u TCP-LISTEN:"$receiver_port",reuseaddr,fork OPEN:"$received",creat,append &
  receiver=$!
}
send() { perl image/tests/ledger.pl "$message_port" "$accepted" "$@"; }
# Everything that the gateway accepted has arrived. It may have come twice.
nothing_lost() {
  sort -u "$received" >"$vm/received.sorted"
  sed 's/^/message /' "$accepted" | sort -u | comm -23 - "$vm/received.sorted" >"$vm/missing"
  [ ! -s "$vm/missing" ] || { echo "accepted and not received: $(wc -l <"$vm/missing"), first $(head -n 1 "$vm/missing")"; return 1; }
}

finish() {
  local pid
  for pid in "${qemu:-}" "${receiver:-}" "${sender:-}" "${nbd:-}" "${broker:-}" "${listener:-}" "${server:-}"; do
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  cat "$vm"/serial* >"artifacts/logs/image-test-$board-serial.log" 2>/dev/null || true
  rm -rf "$vm"
}
