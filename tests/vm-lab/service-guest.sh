#!/usr/bin/env bash
# Runs in the guest that systemd has booted, as lab.service: installs the package and tries what it promises. Argument: the repository's
# folder on the host, seen below /mnt. Each check is one line, "pass" or "FAIL"; the last line counts them as the test runner does.
set -euo pipefail

succeeded=0 failed=0
check() { # check NAME COMMAND...
  local name=$1 out
  shift
  if out=$("$@" 2>&1); then
    succeeded=$((succeeded + 1))
    echo "pass  $name"
  else
    failed=$((failed + 1))
    echo "FAIL  $name: $(tail -n 5 <<<"$out")"
  fi
}

show() { systemctl show iobuffer --value -p "$1"; }
status_json() { iobuffer status --json; }
field() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" | head -n 1; }

# within SECONDS COMMAND...: until it succeeds.
within() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || { "$@"; return 1; }
    sleep 0.5
  done
}

is_active() { [ "$(show ActiveState)" = active ] && [ -S /var/lib/iobuffer/control.sock ]; }
other_process() { is_active && [ "$(show MainPID)" != "$1" ]; }
messages() { [ "$(status_json | field buffered)" = "$1" ]; }

install_it() { DEBIAN_FRONTEND=noninteractive dpkg -i /mnt/artifacts/packages/iobuffer_*_amd64.deb; }
armed() { [ "$(show WatchdogUSec)" = 1min ]; }
nothing_listens() { ! grep -q ' 0A ' /proc/net/tcp; }
exposure() {
  local figure
  figure=$(systemd-analyze security iobuffer --no-pager | sed -n 's/.*exposure level for iobuffer.service: \([0-9.]*\).*/\1/p')
  echo "exposure is ${figure:-unknown}" >/dev/console
  awk -v figure="${figure:-10}" 'BEGIN { exit !(figure < 2.5) }'
}
member_may() { runuser -u member -- iobuffer status; }
other_is_refused() {
  local out
  ! out=$(runuser -u stranger -- iobuffer status 2>&1) && echo "$out" && [[ $out == *"group"* ]] && [ "$(wc -l <<<"$out")" -eq 1 ]
}
send() { for n in $(seq "$1" "$2"); do echo "message $n"; done >/dev/tcp/127.0.0.1/7000; }
delivered_in_order() { iobuffer queue export scale --format raw >/tmp/out && diff <(seq -f 'message %g' 1 "$1") /tmp/out; }

configure() {
  cat >/etc/iobuffer/gateway.json <<'JSON'
{ "schema_version": 1,
  "device": { "id": "lab" },
  "channels": [ { "id": "scale",
    "source": { "type": "tcp_server", "host": "127.0.0.1", "port": 7000, "framing": { "type": "line" } },
    "destination": { "type": "tcp_client", "host": "127.0.0.1", "port": 7001 } } ] }
JSON
  systemctl reload iobuffer
}

kill_and_return() {
  local pid
  pid=$(show MainPID)
  [ "$pid" -gt 0 ] && kill -"$1" "$pid" && within "$2" other_process "$pid"
}
quick_watchdog() {
  mkdir -p /run/systemd/system/iobuffer.service.d
  printf '[Service]\nWatchdogSec=6\n' >/run/systemd/system/iobuffer.service.d/quick.conf
  systemctl daemon-reload && systemctl restart iobuffer
}
upgrade() {
  local pid
  pid=$(show MainPID)
  install_it && within 20 other_process "$pid"
}
journal_is_tidy() {
  journalctl -u iobuffer -o cat _COMM=iobuffer >/tmp/journal
  [ -s /tmp/journal ] && ! grep -q '^<[0-9]>' /tmp/journal && [ -n "$(journalctl -u iobuffer -p 6..6 _COMM=iobuffer -o cat)" ]
}
gone() { [ ! -e /usr/bin/iobuffer ] && [ ! -e /lib/systemd/system/iobuffer.service ] && [ -d "$1" ]; }
remove() { dpkg -r iobuffer && ! systemctl is-active iobuffer && gone /var/lib/iobuffer/store; }
purge() { dpkg -P iobuffer && [ ! -e /var/lib/iobuffer ] && [ ! -e /etc/iobuffer ]; }

echo "guest: systemd is up after $(cut -d' ' -f1 /proc/uptime) s"
check "the package installs" install_it
check "the service is active" within 30 is_active
check "the watchdog is armed" armed
check "nothing listens by default" nothing_listens
check "exposure is below 2.5" exposure
useradd -G iobuffer member && useradd stranger
check "a member of the group sees the status" member_may
check "another user is refused in one sentence" other_is_refused
check "a configuration is taken by systemctl reload" configure
check "messages are taken" send 1 200
check "they wait" within 10 messages 200
check "kill -9 brings it back" kill_and_return KILL 30
check "nothing is lost by it" delivered_in_order 200
check "more is taken" send 201 300
check "an upgrade restarts it" upgrade
check "the upgrade keeps what waits" delivered_in_order 300
check "a shorter watchdog, for the test" quick_watchdog
check "it is active again" within 30 is_active
check "the watchdog restarts one that stands still" kill_and_return STOP 60
check "nothing is lost by that either" delivered_in_order 300
check "the journal has priorities and one line a record" journal_is_tidy
[ $failed -eq 0 ] || { systemctl status iobuffer --no-pager -l || true; journalctl -u iobuffer --no-pager -n 30; }
check "removal stops it and keeps the data" remove
check "a purge leaves nothing" purge
echo "  total: $((succeeded + failed))"
echo "  failed: $failed"
echo "  succeeded: $succeeded"
echo "  skipped: 0"
echo "guest: service checks ended with $failed failed after $(cut -d' ' -f1 /proc/uptime) s"
systemctl --no-block poweroff -ff
