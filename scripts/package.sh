#!/usr/bin/env bash
# scripts/package.sh [--lint] [amd64|arm64 ...]: Debian packages, artifacts/packages/iobuffer_VERSION_ARCH.deb, of what scripts/publish.sh left in
# artifacts/<rid>; published first where it is not there. Without an argument: for both. The same commit gives the same bytes. --lint: lintian judges them.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

version=$(sed -n 's|.*<Version>\(.*\)</Version>.*|\1|p' Directory.Build.props)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Directory.Build.props)}
export SOURCE_DATE_EPOCH

# package ARCHITECTURE RID
package() {
  local architecture=$1 rid=$2 root script deb=artifacts/packages/iobuffer_${version}_$1.deb
  [ -e "artifacts/$rid/iobuffer" ] || scripts/publish.sh "$rid"
  say "packaging $architecture"
  root=$(mktemp -d)
  chmod 755 "$root"
  install -D -m 755 "artifacts/$rid/iobuffer" "$root/usr/lib/iobuffer/iobuffer"
  install -D -m 644 "artifacts/$rid/librocksdb.so" "$root/usr/lib/iobuffer/librocksdb.so"
  mkdir -p "$root/usr/bin"
  ln -s ../lib/iobuffer/iobuffer "$root/usr/bin/iobuffer"
  install -D -m 644 image/service/iobuffer.service "$root/lib/systemd/system/iobuffer.service"
  install -D -m 644 image/service/sysusers.conf "$root/usr/lib/sysusers.d/iobuffer.conf"
  install -D -m 644 image/service/tmpfiles.conf "$root/usr/lib/tmpfiles.d/iobuffer.conf"
  install -D -m 644 image/service/90-iobuffer.rules "$root/lib/udev/rules.d/90-iobuffer.rules"
  install -D -m 644 image/service/gateway.json "$root/etc/iobuffer/gateway.json"
  install -D -m 644 image/cli/iobuffer.bash-completion "$root/usr/share/bash-completion/completions/iobuffer"
  mkdir -p "$root/usr/share/man/man1"
  gzip -9n <image/cli/iobuffer.1 >"$root/usr/share/man/man1/iobuffer.1.gz"
  install -D -m 644 image/debian/copyright "$root/usr/share/doc/iobuffer/copyright"
  install -D -m 644 -t "$root/usr/share/doc/iobuffer/mqtt" src/IoBufferEdge/Control/mosquitto.acl src/IoBufferEdge/Control/Schemas/*.json
  install -D -m 644 image/debian/lintian-overrides "$root/usr/share/lintian/overrides/iobuffer"
  printf 'iobuffer (%s) unstable; urgency=medium\n\n  * See the history of the sources.\n\n -- %s  %s\n' "$version" \
    "$(sed -n 's/^Maintainer: //p' image/debian/control)" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" |
    gzip -9n >"$root/usr/share/doc/iobuffer/changelog.gz"

  install -d "$root/DEBIAN"
  for script in postinst prerm postrm; do install -m 755 "image/debian/$script" "$root/DEBIAN/$script"; done
  echo /etc/iobuffer/gateway.json >"$root/DEBIAN/conffiles"
  ( cd "$root" && find etc lib usr -type f -print0 | sort -z | xargs -0 md5sum ) >"$root/DEBIAN/md5sums"
  sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$(du -k -s --apparent-size "$root" | cut -f1)/" \
    image/debian/control >"$root/DEBIAN/control"
  chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums" \
    "$root/usr/share/doc/iobuffer/changelog.gz" "$root/usr/share/man/man1/iobuffer.1.gz"
  chmod 755 "$root/usr/bin"
  find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  mkdir -p artifacts/packages
  dpkg-deb --root-owner-group -Zxz --build "$root" "$deb" >/dev/null
  rm -r "$root"
  printf '   %s %s, sha256 %s\n' "$deb" "$(stat -c %s "$deb" | awk '{ printf "%.1f MB", $1 / 1e6 }')" "$(sha256sum "$deb" | cut -c1-16)"
  if $lint; then lintian --allow-root --fail-on error "$deb"; fi
}

command -v dpkg-deb >/dev/null || die "dpkg-deb is missing: packages are made on a Debian system."
lint=false
if [ "${1:-}" = --lint ]; then
  lint=true
  shift
fi
[ $# -gt 0 ] || set -- amd64 arm64
for architecture in "$@"; do
  case $architecture in
    amd64) package amd64 linux-x64 ;;
    arm64) package arm64 linux-arm64 ;;
    *) die "'$architecture' is not an architecture that packages are made for: amd64 or arm64." ;;
  esac
done
