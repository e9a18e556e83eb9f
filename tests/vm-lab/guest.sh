#!/usr/bin/env bash
# The guest's first process: mounts, loopback, the GPIO chip, then the tests, then off. Argument: the repository's folder, where
# artifacts/vm-lab/arguments has the test runner's. The root file system is the host's, read only; whatever is written lies in memory.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp DOTNET_CLI_HOME=/tmp DOTNET_NOLOGO=1
export DOTNET_EnableDiagnostics=0 DOTNET_TieredPGO=0 TERM=dumb NO_COLOR=1

# Perl is on every Debian: reboot(2) that switches off.
off() { perl -e 'syscall(169, 0xfee1dead, 672274793, 0x4321fedc)'; }
trap off EXIT
echo "guest: $(uname -r) is up"

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount --bind "$1" /mnt
for folder in /dev/shm /run /tmp /var/tmp; do mount -t tmpfs tmpfs $folder; done
# A repository that one of these has covered is seen again in its place.
[ -e "$1" ] || { mkdir -p "$1" && mount --bind /mnt "$1"; }
mount -t debugfs debugfs /sys/kernel/debug
mount -t configfs configfs /sys/kernel/config

# SIOCSIFFLAGS with IFF_UP and IFF_RUNNING.
perl -MSocket -e 'socket(S, AF_INET, SOCK_DGRAM, 0); $up = pack("a16sx14", "lo", 0x49); ioctl(S, 0x8914, $up) or die "lo: $!\n"'

chip=/sys/kernel/config/gpio-sim/lab/bank
mkdir -p $chip
echo 6 >$chip/num_lines
echo iobuf-gpio >$chip/label
line=0
for name in rs485-de rs485-2-de led-pwr led-mqtt led-bus btn-reset; do
  mkdir $chip/line$line
  echo $name >$chip/line$line/name
  line=$((line + 1))
done
echo 1 >/sys/kernel/config/gpio-sim/lab/live

cd "$1"
mapfile -d '' -t arguments <artifacts/vm-lab/arguments
echo "guest: ready after $(cut -d' ' -f1 /proc/uptime) s"
status=0
export IOBUFFER_BINARY=$PWD/artifacts/linux-x64/iobuffer
run_tests() { "$DOTNET" "$@" --no-ansi --progress off --results-directory /tmp </dev/null || status=$?; }
# Nothing is asked for in particular: the GPIO suite, which needs gpio-sim too, comes first.
[ ${#arguments[@]} -gt 0 ] || run_tests tests/IoBufferEdge.Tests/bin/Release/net10.0/IoBufferEdge.Tests.dll --filter-class '*KernelGpioTests'
run_tests tests/vm-lab/bin/Release/net10.0/IoBufferEdge.VmLab.dll "${arguments[@]}"
echo "guest: tests ended with exit code $status after $(cut -d' ' -f1 /proc/uptime) s"
