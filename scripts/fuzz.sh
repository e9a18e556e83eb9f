#!/usr/bin/env bash
# Fuzzing of the parsers that meet foreign bytes, as long as you like; scripts/test.sh gives each a moment.
#   scripts/fuzz.sh                    every target in turn, a minute each, over and over until one fails or Ctrl-C
#   scripts/fuzz.sh TARGET             one target, until it fails or Ctrl-C
#   scripts/fuzz.sh TARGET SECONDS     one target for so long; 0: its corpus alone, which replays what was found
# Targets are the folders of tests/IoBufferEdge.Tests/Fuzz/corpus. An input that fails is cut down, kept there and judged first ever after.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

corpus=tests/IoBufferEdge.Tests/Fuzz/corpus
tests=tests/IoBufferEdge.Tests/bin/Release/net10.0/IoBufferEdge.Tests.dll
[ $# -le 2 ] || die "usage: scripts/fuzz.sh [TARGET [SECONDS]]"
[ $# -eq 0 ] || [ -d "$corpus/$1" ] || die "'$1' is not a target: $(find "$corpus" -mindepth 1 -type d -printf '%f ' | tr ' ' '\n' | sort | xargs) are."

# fuzz TARGET SECONDS SEED
fuzz() {
  say "$1 for $2 s, seed $3"
  IOBUFFER_FUZZ_TARGET=$1 IOBUFFER_FUZZ_SECONDS=$2 IOBUFFER_FUZZ_SEED=$3 \
    dotnet "$tests" --filter-method '*FuzzTests.Whatever_the_bytes_are' --no-ansi --progress off --output Normal
}

require_sdk
quietly artifacts/logs/build-fuzz.log dotnet build tests/IoBufferEdge.Tests -c Release
if [ $# -eq 2 ]; then
  fuzz "$1" "$2" $RANDOM
  exit
fi
while true; do
  for folder in "$corpus"/${1:-*}; do
    fuzz "$(basename "$folder")" 60 $RANDOM
  done
done
