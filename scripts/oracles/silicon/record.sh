#!/bin/sh
# Records the instruction vectors anew on this machine's CPU: scripts/oracles/silicon/record.sh [FAMILY...]
# Needs gcc, an x86-64 Linux with 32-bit emulation, and a CPU with BMI1, BMI2, ADX,
# MOVBE, AVX2, FMA and F16C.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
gcc -O2 -Wall -Wextra -fno-stack-protector -fcf-protection=none -o "$build/recorder" "$here/recorder.c"
"$here/../../node_modules/.bin/tsx" "$here/record.ts" "$build/recorder" "$@"
