#!/usr/bin/env bash
# image/keys.sh [FOLDER]: a certificate authority for development and a certificate that signs update bundles, in artifacts/image/keys unless a folder
# is named. What is there already stays. Devices in the field take bundles of an authority whose key never touches a build machine: see README.md.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/../scripts/lib.sh"

folder=${1:-artifacts/image/keys}
[ ! -e "$folder/signing.pem" ] || exit 0
say "making a development authority for update bundles in $folder"
mkdir -p "$folder"
chmod 700 "$folder"
new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }
new_key "$folder/ca.key"
openssl req -x509 -new -key "$folder/ca.key" -sha256 -days 3650 -subj '/O=IoBufferEdge/CN=development authority' \
  -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign,cRLSign -out "$folder/ca.pem"
new_key "$folder/signing.key"
openssl req -new -key "$folder/signing.key" -subj '/O=IoBufferEdge/CN=development bundles' -out "$folder/signing.csr"
openssl x509 -req -in "$folder/signing.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial -sha256 -days 3650 \
  -extfile <(printf 'basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n') -out "$folder/signing.pem.new" 2>/dev/null
rm "$folder/signing.csr"
mv "$folder/signing.pem.new" "$folder/signing.pem"
