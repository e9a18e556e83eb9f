#!/usr/bin/env bash
# image/root.sh BASE.tar PACKAGE.deb WORK VERSION: called by build.sh as root (or as one in a user namespace): unpacks the Debian part, installs the
# gateway, the kernel's modules and what image/rootfs holds, takes out what an image does not need, and packs WORK/root.tar.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
base=$1 deb=$2 work=$3 version=$4
root=${work:?}/root
mkdir "$root"
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf "$root"' EXIT
tar -C "$root" -xf "$base" --numeric-owner --exclude='./dev/*'

# In a mount namespace of its own: the machine's mounts stay as they are.
mount -t proc proc "$root/proc"
in_root() { chroot "$root" /usr/bin/env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

# Users have fixed numbers: what is on the data partition belongs to the same ones in either slot, of whatever version.
in_root groupadd -r -g 800 iobuffer
in_root useradd -r -u 800 -g 800 -d /var/lib/iobuffer -s /usr/sbin/nologin -c 'IoBufferEdge gateway' iobuffer
cp "$deb" "$root/tmp/iobuffer.deb"
in_root dpkg -i /tmp/iobuffer.deb
rm "$root/tmp/iobuffer.deb"
# A device begins unprovisioned: with no configuration, not with an empty one.
rm "$root/etc/iobuffer/gateway.json"

# Modules of devices that a gateway has no use for.
modules=$(echo "$work"/kernel/lib/modules/*)
cp -a "$modules" "$work/modules"
for folder in sound drivers/{gpu,media,infiniband,staging,isdn,comedi,bluetooth,net/wireless,target,mtd,message,thunderbolt,soundwire,nfc,scsi,video,atm} \
  net/{bluetooth,mac80211,wireless,nfc,ceph,sctp,tipc,rds,smc,rxrpc,batman-adv,sunrpc,atm} \
  arch/x86/kvm virt fs/{xfs,btrfs,nfs,nfsd,ocfs2,smb,f2fs,ceph,gfs2,afs,ubifs,dlm,nilfs2,reiserfs,jfs,coda,orangefs,lockd,ntfs3,hfs,hfsplus}; do
  # Of SCSI the core stays, without the host adapters.
  [ "$folder" != drivers/scsi ] || { find "$work/modules/kernel/drivers/scsi" -mindepth 1 -maxdepth 1 -type d -exec rm -r {} +; continue; }
  rm -rf "$work/modules/kernel/${folder:?}"
done
mkdir -p "$root/usr/lib/modules"
rm -f "$work/modules/build" "$work/modules/source"
cp -a "$work/modules" "$root/usr/lib/modules/${modules##*/}"
depmod -b "$root" "${modules##*/}"

cp -a --no-preserve=ownership "$here/rootfs/." "$root/"
chmod -R u=rwX,go=rX "$root/usr/lib/iobuffer"
install -m 644 "$work/board.conf" "$root/usr/lib/iobuffer/board.conf"
install -m 644 "$work/keyring.pem" "$root/etc/rauc/keyring.pem"
board=$(sed -n 's/^board=//p' "$work/board.conf")
sed -i "s/@board@/$board/" "$root/etc/rauc/system.conf"
printf 'IMAGE_ID=iobufferedge-%s\nIMAGE_VERSION=%s\n' "$board" "$version" >>"$root/usr/lib/os-release"
mkdir -p "$root/data" "$root/ident"

# Nothing runs that the device does not need, nothing listens that was not asked to; nobody logs in but with a key that was provisioned.
in_root systemctl -q enable systemd-networkd.service systemd-resolved.service systemd-timesyncd.service ssh.service \
  ibe-settle.service ibe-health.service ibe-provision.service \
  ibe-request.path ibe-clock.timer
in_root systemctl -q disable ssh.socket systemd-networkd-wait-online.service 2>/dev/null || true
in_root systemctl -q mask getty@tty1.service serial-getty@.service getty@.service console-getty.service apt-daily.timer apt-daily-upgrade.timer \
  dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service systemd-firstboot.service systemd-pstore.service systemd-update-utmp.service \
  systemd-update-utmp-runlevel.service systemd-machine-id-commit.service systemd-hwdb-update.service systemd-journal-catalog-update.service \
  systemd-update-done.service ldconfig.service systemd-random-seed.service remote-fs.target
ln -sf multi-user.target "$root/usr/lib/systemd/system/default.target"
ln -sf /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
sed -i 's/^root:[^:]*:/root:*:/' "$root/etc/shadow"

# What differs from build to build, or is made anew on each device; then what only helps to build.
rm -rf "$root"/etc/ssh/ssh_host_* "$root"/var/log/* "$root"/var/cache/* "$root"/var/lib/apt/lists/* "$root"/var/lib/systemd/* "$root"/run/* "$root"/tmp/* \
  "$root"/etc/*- "$root"/var/lib/dpkg/*-old "$root"/etc/.pwd.lock "$root"/var/lib/dbus/machine-id \
  "$root"/usr/share/{locale,man,info,lintian,bug,zoneinfo/right} \
  "${root:?}"/boot/* "$root"/var/backups/* "$root"/etc/hostname "$root"/etc/fstab
mkdir -p "$root/boot/firmware" "$root/var/log/journal"
rmdir "$root/var/log/journal"
: >"$root/etc/machine-id"
: >"$root/etc/fstab"
for name in hostname hosts; do : >"$root/etc/$name"; done

# shellcheck disable=SC2016  # dpkg-query expands these
in_root dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' | sort >"$work/packages"
umount "$root/proc"
tar -C "$root" -c --sort=name --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --xattrs --xattrs-include='security.capability' \
  --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime -f "$work/root.tar" .
