#!/usr/bin/env bash
# image/tests/reproducible.sh [BOARD]: builds the image twice from Debian's packages on, and compares every file that comes out.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
# shellcheck source=image/tests/check.sh
source image/tests/check.sh

board=${1:-vm-x86_64}
first=$(mktemp -d -p artifacts/image)
trap 'rm -rf "$first"' EXIT
build() { image/build.sh --board "$board" --fresh; }
same() { diff "$first/SHA256SUMS" "artifacts/image/$board/SHA256SUMS"; }
check "$board is built" build
cp "artifacts/image/$board/SHA256SUMS" "$first/"
check "and once more" build
check "every file has the same bytes" same
totals
