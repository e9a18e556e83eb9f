#!/usr/bin/env bash
# image/tests/services.sh: the image's own scripts (image/rootfs), each by itself, in a root laid over this machine's. What mounts, restarts and installs
# is replaced by programs that write down how they were called; ibe-bootctl, the gateway's tools, curl and dpkg are real. Needs root, and the published
# binary. Exit code 75: something it needs is not to be had here.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
# shellcheck source=image/tests/check.sh
source image/tests/check.sh

if [ "$(id -u)" -ne 0 ] || ! grep -qw overlay /proc/filesystems; then
  echo "The image's scripts are tried by root, on a kernel with overlay."
  exit 75
fi
if [ "${1:-}" != --inside ]; then
  install_missing "tests of the image's scripts" curl perl openssh-client util-linux
  [ -e artifacts/linux-x64/iobuffer ] || scripts/publish.sh linux-x64
  exec unshare --mount --propagation private "$0" --inside
fi

work=$(mktemp -d)
mount -t tmpfs -o size=300M tmpfs "$work"
root=$work/root
trap 'kill "${server:-}" 2>/dev/null || true; cd / && umount -R "$work" && rmdir "$work"' EXIT
mkdir -p "$root"/{usr,etc,proc,dev,run,data,ident,boot/firmware,tmp,var/lib} "$work"/{usr,etc}-{written,work} "$work"/fakes/{usr/local/bin,usr/lib/iobuffer,etc}
for name in bin sbin lib lib64; do ln -s usr/$name "$root/$name"; done
cp artifacts/linux-x64/{iobuffer,librocksdb.so} "$work/fakes/usr/lib/iobuffer/"
ln -s /usr/lib/iobuffer/iobuffer "$work/fakes/usr/local/bin/iobuffer"
printf 'board=vm-x86_64\nloader=grub\nbuild_time=0\n' >"$work/fakes/usr/lib/iobuffer/board.conf"
{ grep -v '^iobuffer:' /etc/passwd; echo 'iobuffer:x:800:800::/:/usr/sbin/nologin'; } >"$work/fakes/etc/passwd"
{ grep -v '^iobuffer:' /etc/group; echo 'iobuffer:x:800:'; } >"$work/fakes/etc/group"
for name in mount umount systemctl; do
  printf '#!/bin/sh\necho "%s $*" >>/run/calls\n' $name >"$work/fakes/usr/local/bin/$name"
done
# RAUC: says what it is given as the real one does, and ends as /run/rauc says.
cat >"$work/fakes/usr/local/bin/rauc" <<'RAUC'
#!/bin/sh
echo "rauc $*" >>/run/calls
cp "$2" /run/installed
echo installing
echo '  0% Installing'
cat /run/iobuffer-image/update.json >/run/told-first
echo ' 40% Copying image to root.1'
[ ! -e /run/offered ] || cp /run/offered /run/iobuffer-offered
if [ -e /run/rauc ]; then sh /run/rauc; exit 1; fi
echo '100% Installing done.'
RAUC
chmod -R a+rX "$work/fakes"
chmod 755 "$work"/fakes/usr/local/bin/{mount,umount,systemctl,rauc}
for name in usr etc; do
  mount -t overlay -o "lowerdir=$PWD/image/rootfs/$name:$work/fakes/$name:/$name,upperdir=$work/$name-written,workdir=$work/$name-work" overlay "$root/$name"
done
for folder in proc dev; do mount --rbind /$folder "$root/$folder"; done
for folder in run ident; do mount -t tmpfs tmpfs "$root/$folder"; done
mount -t tmpfs -o size=48M tmpfs "$root/data"
: >"$work/cmdline"
mount --bind "$work/cmdline" "$root/proc/cmdline"
in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

# begin RUNNING [PENDING]: a device that was just started in that slot, with version 0.2.0; slot a is the confirmed one.
begin() {
  rm -rf "$root"/data/* "$root"/ident/* "$root"/run/* "$root"/boot/firmware/*
  mkdir -p "$root"/run/lock "$root"/data/iobuffer "$root"/data/rauc "$root"/var/lib
  ln -sfn /data/iobuffer "$root/var/lib/iobuffer"
  truncate -s 8M "$root/run/ibe-state"
  printf 'console=ttyS0 ibe.version=0.2.0 ibe.slot=%s%s\n' "$1" "${2:+ ibe.pending=1}" >"$work/cmdline"
  : >"$root/run/calls"
  echo 0.3.0 >"$root/run/offered"
  in_root ibe-bootctl repair
  [ -z "${2:-}" ] || in_root ibe-bootctl set-primary "$2"
  in_root /usr/lib/iobuffer/settle
}
# told NAME KEY VALUE: the file that the gateway reads is whole, and says so; without VALUE the key is missing.
told() {
  perl -MJSON::PP -e 'local $/; my $v = decode_json(<STDIN>)->{$ARGV[0]}; $v = "" . ($v // "nothing");
    $v eq ($ARGV[1] // "nothing") or die "$ARGV[0] is $v\n"' "${@:2}" <"$root/run/iobuffer-image/$1"
}
called() { grep -qx -- "$1" "$root/run/calls" || { cat "$root/run/calls"; return 1; }; }
never() { ! grep -q -- "$1" "$root/run/calls" || { cat "$root/run/calls"; return 1; }; }
says() { if ! fails "${@:2}" || ! grep -q -- "$1" "$work/said"; then cat "$work/said" && return 1; fi; }
fails() { ! "$@" >"$work/said" 2>&1; }

say "the image's scripts"
# --- settle
started() { begin a && told image.json version 0.2.0 && told image.json slot a && told image.json proving 0 && [ ! -e "$root/data/update/store" ]; }
check "a start tells its slot, and sets nothing aside" started
set_aside() {
  begin a
  mkdir -p "$root/data/iobuffer/store/sub"
  echo table >"$root/data/iobuffer/store/000001.sst"
  echo log >"$root/data/iobuffer/store/sub/000002.log"
  printf 'x ibe.version=0.3.0 ibe.slot=b ibe.pending=1\n' >"$work/cmdline"
  in_root ibe-bootctl set-primary b
  in_root /usr/lib/iobuffer/settle
  local aside=$root/data/update/store
  told image.json proving 1 && [ "$aside/000001.sst" -ef "$root/data/iobuffer/store/000001.sst" ] && [ ! "$aside/sub/000002.log" -ef \
    "$root/data/iobuffer/store/sub/000002.log" ] && [ "$(cat "$aside/sub/000002.log")" = log ] || return
  echo more >>"$root/data/iobuffer/store/sub/000002.log"
  in_root /usr/lib/iobuffer/settle && [ "$(cat "$aside/sub/000002.log")" = log ]
}
check "a new slot's first start sets the store aside, once" set_aside
rolled_back() {
  begin a && in_root ibe-bootctl set-primary b && mkdir -p "$root/data/update" && echo 0.3.0 >"$root/data/update/version" && in_root /usr/lib/iobuffer/settle &&
    told update.json status ROLLED_BACK && told update.json version 0.3.0 && told update.json boot_id "$(cat /proc/sys/kernel/random/boot_id)" &&
    in_root ibe-bootctl status | grep -qx 'pending='
}
check "a slot that did not start is noted" rolled_back

# --- ibe-update
head -c 5000000 /dev/urandom >"$work/bundle"
port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
perl image/tests/server.pl "$port" "$work/bundle" &
server=$!
from() { in_root ibe-update "http://127.0.0.1:$port/$1"; }
installs() {
  begin a && cp "$work/bundle" "$root/data/a.raucb" && in_root ibe-update /data/a.raucb &&
    called 'rauc install /data/a.raucb' && called 'systemctl reboot' && told update.json status INSTALLED && told update.json version 0.3.0 &&
    cmp "$root/data/update/result.json" "$root/run/iobuffer-image/update.json"
}
check "a file is installed, and the machine restarts" installs
tells() { [ "$(sed 's/"at".*//' "$root/run/told-first")" = '{"status":"INSTALLING","percent":0,"message":"Installing",' ] || cat "$root/run/told-first"; }
check "how far it is, is told" tells
broken_line() { begin a && from breaks && cmp "$work/bundle" "$root/run/installed" && [ ! -e "$root/data/update/bundle.raucb" ] && called 'systemctl reboot'; }
check "a line that breaks after each megabyte brings the whole bundle" broken_line
refused() { # refused ADDRESS WORDS
  begin a
  fails from "$1" && never rauc && never systemctl && told update.json status FAILED && grep -q "$2" "$root/run/iobuffer-image/update.json" &&
    [ ! -e "$root/data/update/bundle.raucb" ]
}
check "what is not there is refused" refused nothing 404
check "a server that does not tell the size is refused" refused no-size 'does not tell its size'
check "one that is larger than the room is refused" refused huge '10000000000 bytes'
no_more() { begin a && from more; [ "$(stat -c %s "$root/run/installed" 2>/dev/null || echo 0)" -le 5000512 ]; }
check "no more is written than the server said" no_more
rauc_fails() {
  begin a && cp "$work/bundle" "$root/data/a.raucb" && rm "$root/run/offered" && echo 'echo "LastError: signature \"x\" is wrong"' >"$root/run/rauc"
  fails in_root ibe-update /data/a.raucb && told update.json status FAILED && told update.json message 'signature x is wrong' &&
    told update.json version && never systemctl
}
check "why RAUC refuses is told" rauc_fails
handler_refuses() {
  begin a && cp "$work/bundle" "$root/data/a.raucb" && echo 'echo "It is older." >/run/iobuffer-refusal' >"$root/run/rauc"
  fails in_root ibe-update /data/a.raucb && told update.json message 'It is older.'
}
check "why the handler refuses is told" handler_refuses
proving() { begin b b && says 'has yet to prove itself' in_root ibe-update /data/a.raucb; [ ! -e "$root/run/iobuffer-image/update.json" ] && never rauc; }
check "a slot that has yet to prove itself takes none" proving

# --- before-install
offers() { # offers VERSION: what RAUC's handler says to it
  mkdir -p "$root/run/bundle"
  printf 'compatible=x\nversion=%s\n' "$1" >"$root/run/bundle/manifest.raucm"
  in_root RAUC_UPDATE_SOURCE=/run/bundle /usr/lib/iobuffer/before-install
}
versions() {
  begin a
  offers 0.2.0 && offers 0.10.0 && says 'is older than' offers 0.1.9 && says 'is older than' offers 0.2.0~rc1 && says 'names no version' offers '1 & 2' &&
    says 'names no version' offers ''
}
check "no way back to an older version" versions

# --- request
asks() { printf '%s\n' "$2" >"$root/run/iobuffer-image/requests/$1" && in_root /usr/lib/iobuffer/request; }
gateway_asks() { begin a && asks update "http://127.0.0.1:$port/breaks" && called 'systemctl reboot' && [ ! -e "$root/run/iobuffer-image/requests/update" ]; }
check "the gateway's request is done and taken away" gateway_asks
bad_requests() {
  local text
  for text in '' /data/a.raucb file:///etc/shadow --help 'http://a b' "$(printf 'http://a\tb')" ftp://a/b; do
    begin a
    if ! fails asks update "$text" || ! never rauc || [ -e "$root/run/iobuffer-image/requests/update" ]; then echo "'$text' was taken" && return 1; fi
  done
}
check "an address of another kind is not" bad_requests
no_secrets() { # a link to what the gateway may not read
  begin a
  echo "http://127.0.0.1:$port/breaks" >"$root/run/secret" && chmod 600 "$root/run/secret" && ln -s /run/secret "$root/run/iobuffer-image/requests/update"
  fails in_root /usr/lib/iobuffer/request && never rauc && [ -e "$root/run/secret" ]
}
check "what the gateway may not read is not read for it" no_secrets
resets() {
  begin a && mkdir -p "$root/data/iobuffer/config" && echo given >"$root/data/iobuffer/config/factory" && asks factory-reset '' &&
    called 'systemctl reboot' && in_root ibe-bootctl status | grep -qx reset=1 && [ "$(cat "$root/ident/provisioned")" = given ]
}
check "a factory reset is noted, and what was provisioned is kept" resets

# --- stick
stick() { # stick VERSION...: bundles of these versions on it
  local each
  rm -rf "$root/run/iobuffer-stick-sdz"
  mkdir -p "$root/run/iobuffer-stick-sdz"
  for each in "$@"; do echo "$each" >"$root/run/iobuffer-stick-sdz/iobufferedge-vm-x86_64-$each.raucb"; done
  echo 9 >"$root/run/iobuffer-stick-sdz/iobufferedge-rpi4-9.raucb"
  in_root /usr/lib/iobuffer/stick sdz
}
newest() { begin a && stick 0.1.0 0.9.0 0.10.0 0.2.0 && called 'rauc install /run/iobuffer-stick-sdz/iobufferedge-vm-x86_64-0.10.0.raucb'; }
check "of a stick's bundles the newest of this board is installed" newest
none_newer() { begin a && stick 0.1.0 0.2.0 && never rauc && begin a && stick && never rauc; }
check "none that is not newer" none_newer
not_twice() {
  rolled_back && stick 0.3.0 && never rauc && stick 0.3.0 0.3.1 && called 'rauc install /run/iobuffer-stick-sdz/iobufferedge-vm-x86_64-0.3.1.raucb'
}
check "none that was taken back already" not_twice
pending_stick() { begin b b && stick 0.9.0 && never rauc; }
check "none while the slot has yet to prove itself" pending_stick

# --- provision
provided=$root/boot/firmware/provision
provide() {
  mkdir -p "$provided/network" "$provided/secrets"
  echo '{ "device": { "id": "gw-0017" }, "mqtt": { "host": "broker.example", "username": "gw", "password_secret": "broker" } }' >"$provided/device.json"
  echo word >"$provided/secrets/broker"
  printf '[Match]\nName=en*\n' >"$provided/network/10-lan.network"
  ssh-keygen -q -t ed25519 -N '' -f "$work/key-$RANDOM$RANDOM" -C '' && cat "$work"/key-*.pub >"$provided/network/authorized_keys"
}
provision() { in_root /usr/lib/iobuffer/provision; }
all_taken() {
  begin a && provide && provision && [ ! -e "$root/run/iobuffer-image/provisioning-refused" ] && [ ! -e "$provided/secrets/broker" ] &&
    grep -q gw-0017 "$root/data/iobuffer/config/factory" && cmp "$root/ident/provisioned" "$root/data/iobuffer/config/factory" &&
    [ "$(stat -c %a "$root/ident/provisioned")" = 600 ] && cmp "$provided/network/authorized_keys" "$root/ident/authorized_keys" &&
    cmp "$provided/network/10-lan.network" "$root/run/systemd/network/10-lan.network" && [ -s "$root/ident/ssh_host_ed25519_key" ] &&
    grep -q gw-0017 "$provided/result.txt"
}
check "what was provided is taken, and what was taken lies beside the identity" all_taken
again() { # as after a factory reset: the data partition is empty
  rm -rf "$root"/data/* "$root"/run/systemd && mkdir -p "$root/data/iobuffer" && provision &&
    cmp "$root/ident/provisioned" "$root/data/iobuffer/config/factory" && [ "$(stat -c %u:%a "$root/data/iobuffer/config/factory")" = 800:600 ] &&
    grep -q word "$root/data/iobuffer/config/factory" || grep -q "$(printf word | base64)" "$root/data/iobuffer/config/factory" || return
  [ -e "$root/run/systemd/network/10-lan.network" ]
}
check "with an empty data partition it is as it was provisioned" again
nothing_taken() { # nothing_taken WORDS: of what lies there now
  provision >/dev/null && [ ! -e "$root/data/iobuffer/config/factory" ] && [ ! -e "$root/ident/network" ] && [ ! -e "$root/ident/authorized_keys" ] &&
    grep -q "$1" "$root/run/iobuffer-image/provisioning-refused" && grep -q "$1" "$provided/result.txt" && [ -e "$provided/secrets/broker" ]
}
bad_key() { begin a && provide && echo 'not a key' >"$provided/network/authorized_keys" && nothing_taken authorized_keys; }
check "a wrong key takes nothing of the rest" bad_key
bad_network() { begin a && provide && echo 'Address=1' >"$provided/network/10-lan.network" && nothing_taken '10-lan.network has no'; }
check "a wrong network file takes nothing of the rest" bad_network
strange() { begin a && provide && echo x >"$provided/network/wifi.txt" && nothing_taken wifi.txt; }
check "neither does one that nobody knows" strange
bad_device() { begin a && provide && echo '{ "mqtt": { "host": 5 } }' >"$provided/device.json" && nothing_taken mqtt; }
check "nor a wrong device.json" bad_device
shut() { all_taken && : >"$provided/network/authorized_keys" && provision && [ ! -s "$root/ident/authorized_keys" ]; }
check "an empty key file shuts ssh" shut
totals
