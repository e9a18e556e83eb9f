#!/usr/bin/env bash
# tests/vm-lab/build-root.sh: the root disk of the lab's guest with systemd, a small Debian as an ext4 image, in artifacts/vm-lab/root-HASH.img.
# HASH is that of this script: what is there already is not made again. Needs root. Prints the file's name last.
set -euo pipefail
lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$lab/../../scripts/lib.sh"

image=$PWD/artifacts/vm-lab/root-$(sha256sum "$lab/build-root.sh" | cut -c1-12).img

# What the guest does not need is taken out before its first boot: every unit that starts costs it a second.
make_root() {
  local root
  root=$(mktemp -d) || return
  nice mmdebstrap --variant=minbase --include=systemd-sysv,udev,dbus,libgcc-s1,libstdc++6,zlib1g --components=main \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$root" || return
  ln -sf multi-user.target "$root/usr/lib/systemd/system/default.target"
  for unit in getty@tty1 systemd-logind systemd-timesyncd apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    fstrim.timer e2scrub_reap systemd-update-utmp systemd-hwdb-update systemd-firstboot systemd-networkd; do
    case $unit in *.timer) ;; *) unit=$unit.service ;; esac
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
  done
  cat >"$root/etc/systemd/system/lab.service" <<'UNIT'
[Unit]
After=basic.target dbus.service systemd-udevd.service
[Service]
Type=oneshot
ExecStartPre=/bin/mount -t hostfs -o ${LAB} none /mnt
ExecStart=/mnt/tests/vm-lab/service-guest.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
TimeoutStartSec=infinity
UNIT
  mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
  ln -s ../lab.service "$root/etc/systemd/system/multi-user.target.wants/lab.service"
  # A fixed id: an empty one makes the first boot a longer one.
  echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
  echo 127.0.0.1 localhost >"$root/etc/hosts"
  echo /dev/ubda / ext4 rw,noatime 0 0 >"$root/etc/fstab"
  mke2fs -q -t ext4 -O ^has_journal -d "$root" "$image.new" 900M || return
  rm -rf "$root"
}

if [ ! -e "$image" ]; then
  [ "$(id -u)" -eq 0 ] || die "The lab's root disk is made with Debian's packages, whose files belong to root: run this as root once."
  install_missing "the root disk of the VM lab" mmdebstrap e2fsprogs >&2
  say "making the root disk of the VM lab (once: it is kept in artifacts/vm-lab)" >&2
  mkdir -p artifacts/vm-lab
  quietly artifacts/logs/vm-lab-root.log make_root >&2
  mv "$image.new" "$image"
fi
echo "$image"
