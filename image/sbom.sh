#!/usr/bin/env bash
# image/sbom.sh BOARD VERSION PACKAGES DEB...: what the image is made of, as SPDX 2.3 in JSON: Debian's packages as dpkg lists them, those that were only
# taken apart (kernel, loader, busybox), and the NuGet packages that the gateway was built with.
set -euo pipefail
board=$1 version=$2 packages=$3
shift 3
{
  # kind, name, version, architecture, source package, its version
  awk -F '\t' '{ print "deb", $1, $2, $3, $4, $5 }' "$packages"
  for file in "$@"; do
    # shellcheck disable=SC2016
    dpkg-deb -W --showformat='deb ${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\n' "$file"
  done
  sed -n '/"net10.0\/linux/,$d; s/^ *"\([A-Za-z0-9.]*\)": {$/name \1/p; s/^ *"resolved": "\(.*\)",*$/resolved \1/p' src/IoBufferEdge/packages.lock.json |
    awk '$1 == "name" { name = $2 } $1 == "resolved" { print "nuget", name, $2, "-", name, $2 }'
} | sort -u | awk -v board="$board" -v version="$version" -v created="$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)" '
  function id(text) { gsub(/[^A-Za-z0-9.-]/, "-", text); return text }
  function escaped(text) { gsub(/%/, "%25", text); gsub(/\+/, "%2B", text); gsub(/:/, "%3A", text); gsub(/~/, "~", text); return text }
  BEGIN {
    printf "{\n  \"spdxVersion\": \"SPDX-2.3\",\n  \"dataLicense\": \"CC0-1.0\",\n  \"SPDXID\": \"SPDXRef-DOCUMENT\",\n"
    printf "  \"name\": \"iobufferedge-%s-%s\",\n  \"documentNamespace\": \"https://iobufferedge.invalid/spdx/%s-%s\",\n", board, version, board, version
    printf "  \"creationInfo\": { \"created\": \"%s\", \"creators\": [ \"Tool: image/sbom.sh\" ] },\n", created
    printf "  \"packages\": [\n    { \"name\": \"iobufferedge-%s\", \"SPDXID\": \"SPDXRef-image\", \"versionInfo\": \"%s\"," \
      " \"downloadLocation\": \"NOASSERTION\", \"filesAnalyzed\": false }", board, version
  }
  {
    purl = $1 == "nuget" ? "pkg:nuget/" $2 "@" escaped($3) : "pkg:deb/debian/" escaped($2) "@" escaped($3) "?arch=" $4
    ref[++n] = "SPDXRef-" $1 "-" id($2)
    printf ",\n    { \"name\": \"%s\", \"SPDXID\": \"%s\", \"versionInfo\": \"%s\",", $2, ref[n], $3
    printf " \"downloadLocation\": \"NOASSERTION\", \"filesAnalyzed\": false,"
    printf " \"sourceInfo\": \"built from %s %s\",", $5, $6
    printf " \"externalRefs\": [ { \"referenceCategory\": \"PACKAGE-MANAGER\", \"referenceType\": \"purl\", \"referenceLocator\": \"%s\" } ] }", purl
  }
  END {
    printf "\n  ],\n  \"relationships\": [\n"
    printf "    { \"spdxElementId\": \"SPDXRef-DOCUMENT\", \"relationshipType\": \"DESCRIBES\", \"relatedSpdxElement\": \"SPDXRef-image\" }"
    for (i = 1; i <= n; i++)
      printf ",\n    { \"spdxElementId\": \"SPDXRef-image\", \"relationshipType\": \"CONTAINS\", \"relatedSpdxElement\": \"%s\" }", ref[i]
    printf "\n  ]\n}\n"
  }'
