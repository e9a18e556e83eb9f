#!/usr/bin/env bash
# tests/vm-lab/build-kernel.sh: the lab's user-mode Linux kernel from Debian's kernel source, in artifacts/vm-lab/linux-HASH. HASH is that
# of everything in tests/vm-lab/kernel and of this script: what is there already is not built again. Prints the file's name last.
set -euo pipefail
lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$lab/../../scripts/lib.sh"

source_package=linux-source-6.1
hash=$(cat "$lab"/kernel/* "$lab/build-kernel.sh" | sha256sum | cut -c1-12)
kernel=$PWD/artifacts/vm-lab/linux-$hash
unpacked=$PWD/artifacts/vm-lab/source
work=$PWD/artifacts/vm-lab/build

# Half a gigabyte that this kernel has no use for stays in the archive; Kconfig files are read whatever is chosen.
unpack_source() {
  rm -rf "$work" && mkdir -p "$work" || return
  nice tar -xf "$unpacked/usr/src/$source_package.tar.xz" -C "$work" --strip-components=1 \
    --exclude='*/arch/[a-tv-wy-z]*/*.[chS]' --exclude='*.dts*' --exclude='*.rst' --exclude='*.yaml' --exclude='*/tools/testing/*' \
    --exclude='*/tools/perf/*' --exclude='*/sound/*.[ch]' --exclude='*/drivers/gpu/*.[ch]' --exclude='*/drivers/media/*.[ch]' \
    --exclude='*/drivers/staging/*.[ch]' --exclude='*/drivers/infiniband/*.[ch]' --exclude='*/drivers/scsi/*.[ch]' \
    --exclude='*/drivers/net/ethernet/*.[ch]' --exclude='*/drivers/net/wireless/*.[ch]' || return
  patch -s -d "$work" -p1 <"$lab/kernel/linux-6.1.patch" || return
  cp "$lab/kernel/uart-sim.c" "$work/drivers/tty/serial/"
  # Folders that make walks through whatever is chosen, and that this kernel takes nothing from.
  sed -i -E -e '/^obj-y.*\+= (irqchip|pwm|pci|video|idle|char.ipmi|amba|soc|iommu|gpu|cxl|macintosh|scsi|nvme)\//d' \
    -e '/^obj-y.*\+= (firewire|cdrom|auxdisplay|ptp|mmc|ufs|firmware|platform|hwtracing.intel_th)\//d' \
    -e 's# i2c/ i3c/ media/# i2c/ i3c/#' "$work/drivers/Makefile"
}

configure() {
  local setting
  make -s -C "$work" ARCH=um KCONFIG_ALLCONFIG="$lab/kernel/config" allnoconfig || return
  grep '^CONFIG_' "$lab/kernel/config" | while read -r setting; do
    grep -qxF "$setting" "$work/.config" || { echo "$setting was not taken: a dependency is missing in tests/vm-lab/kernel/config"; return 1; }
  done
}

[ "$(uname -m)" = x86_64 ] || die "The VM lab's kernel runs on x86_64 alone."
if [ ! -e "$kernel" ]; then
  install_missing "the VM lab's kernel" "${packages_vm_lab[@]}" >&2
  unpack_missing "$unpacked" "$source_package" >&2
  say "building the VM lab's kernel (once: it is kept in artifacts/vm-lab)" >&2
  log=artifacts/logs/vm-lab-kernel
  # What runs inside `quietly` does not end by `set -e`: it returns its own failures.
  quietly "$log-source.log" unpack_source >&2
  quietly "$log-config.log" configure >&2
  quietly "$log.log" nice -n 10 make -C "$work" ARCH=um -j2 linux >&2
  strip -o "$kernel.new" "$work/linux"
  rm -rf "$work"
  mv "$kernel.new" "$kernel"
fi
echo "$kernel"
