#!/usr/bin/env bash
# image/base.sh FOLDER RELEASE ARCHITECTURE KERNEL LOADER-PACKAGE...: called by build.sh. FOLDER/root.tar is a small Debian with the packages of
# packages.txt; FOLDER/debs holds those that are not installed but taken apart: kernel, boot loaders, busybox. A package that is named with the
# component of Debian it is in, COMPONENT/PACKAGE, is one that the image can be built without: not every mirror has that component.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$here/../scripts/lib.sh"

if [ "${1:-}" = --download ]; then # called by mmdebstrap when its packages are installed; the last argument is its root
  cd "$2"
  export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG
  kernel=$(apt-cache depends "$3" | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
  names=() extra=()
  for name in "${@:4:$#-4}"; do if [[ $name == */* ]]; then extra+=("$name"); else names+=("$name"); fi; done
  apt-get -q download "$kernel" busybox-static "${names[@]}"
  lists=${*: -1}/etc/apt/sources.list
  for name in "${extra[@]}"; do
    sed -n "s,^\\(deb .*\\) main\$,\\1 ${name%%/*},p" "$lists" | head -n 1 >"$lists.d/extra.list"
    if ! apt-get -q update || ! apt-get -q download "${name##*/}"; then echo "${name##*/} is not to be had from this mirror"; fi
    rm "$lists.d/extra.list"
  done
  exit
fi

folder=$1 release=$2 architecture=$3
shift 3
rm -rf "$folder.new"
mkdir -p "$folder.new/debs"
chmod 777 "$folder.new/debs"
if [ "$architecture" != "$(dpkg --print-architecture)" ]; then
  # The kernel runs programs of another processor through qemu-user-static where it was told so.
  install_missing "programs of another processor" qemu-user-static arch-test
  [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
  [ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register
fi
nice mmdebstrap --variant=minbase --architectures="$architecture" --include="$(sed '/^#/d' "$here/packages.txt" | paste -sd,)" --components=main \
  --aptopt='Apt::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --customize-hook="$here/base.sh --download $folder.new/debs $* \"\$1\"" "$release" "$folder.new/root.tar"
rm -rf "$folder"
mv "$folder.new" "$folder"
