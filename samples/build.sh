#!/bin/sh
# Builds samples/built from the sources beside this script. Needs gcc and binutils for x86-64; see README.md for the
# versions the committed images were built with. The same tools give the same bytes.
set -eu
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")"
: "${CC:=gcc}" "${LD:=ld}" "${AS:=as}" "${NM:=nm}" "${OBJCOPY:=objcopy}" "${STRIP:=strip}"
out=${1:-built}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

CFLAGS="-std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fPIE -mcmodel=small -mno-red-zone -mgeneral-regs-only
  -fno-stack-protector -fno-asynchronous-unwind-tables -fno-unwind-tables -fcf-protection=none -fno-ident
  -fno-tree-loop-distribute-patterns --param=min-pagesize=0"
ASFLAGS="-Wa,--noexecstack -Wa,-mx86-used-note=no"

symbol() { # symbol ELF NAME: its value in hexadecimal
  "$NM" "$1" | sed -n "s/^\([0-9a-f]*\) . $2\$/0x\1/p"
}

# image STUB.elf OUT.bzImage: the setup part, then the stub's loaded bytes, padded up to .bss.
image() {
  "$OBJCOPY" -O binary --pad-to "$(symbol "$1" _bss)" "$1" "$work/stub.bin"
  size=$(wc -c < "$work/stub.bin")
  payload=$(symbol "$1" payload)
  end=$(symbol "$1" payload_end)
  "$CC" -m32 -E -P -x assembler-with-cpp -Itrampoline trampoline/setup.S > "$work/setup.s"
  "$AS" --32 -mx86-used-note=no --defsym "SYSSIZE=$((size / 16))" --defsym "PAYLOAD_OFFSET=$((payload))" \
    --defsym "PAYLOAD_LENGTH=$((end - payload))" --defsym "KERNEL_INFO_OFFSET=$(symbol "$1" kernel_info)" \
    -o "$work/setup.o" "$work/setup.s"
  "$LD" -m elf_i386 -Ttext 0 -e _start --oformat binary -o "$work/setup.bin" "$work/setup.o"
  cat "$work/setup.bin" "$work/stub.bin" > "$2"
}

"$CC" $ASFLAGS -c -o "$work/payload.o" trampoline/payload.S
"$LD" -Ttext 0 --oformat binary -o "$work/payload.bin" "$work/payload.o"

# compile SOURCE FLAG...: adds to $objects.
compile() {
  source=$1
  shift
  object="$work/$(basename "${source%.*}").o"
  "$CC" $CFLAGS $ASFLAGS -Itrampoline "-DPAYLOAD_BIN=\"$work/payload.bin\"" "$@" -c -o "$object" "$source"
  objects="$objects $object"
}

# link OUT FLAG...: the flags are the whole difference between two images, what a lost LDFLAGS takes from the link.
link() {
  name=$1
  shift
  "$LD" -m elf_x86_64 "$@" -z noexecstack --build-id=none --no-warn-rwx-segments -T "$work/stub.lds" \
    -o "$work/$name.elf" $objects
  "$STRIP" --strip-debug -o "$out/$name.elf" "$work/$name.elf"
  image "$work/$name.elf" "$out/$name.bzImage"
  chmod 644 "$out/$name.elf" "$out/$name.bzImage"
}

# link_pair PREFIX FLAG...: both links of what was compiled, and of the trampoline sample's other sources.
link_pair() {
  prefix=$1
  shift
  for source in data.S trampoline.S paging.c unpack.c lib.c; do
    compile "trampoline/$source" "$@"
  done
  "$CC" -E -P -x assembler-with-cpp -Itrampoline "$@" trampoline/stub.lds.S > "$work/stub.lds"
  link "${prefix}good" -pie --no-dynamic-linker
  link "${prefix}bad"
}

# head.o comes first: the entries must stand at the start.
objects=
compile trampoline/head.S
link_pair ""

objects=
compile trampoline/head.S -DCOMPARE
compile compare/settle.S -DCOMPARE
link_pair compare- -DCOMPARE

# The compiler's part of the same mistake: no -fPIE either, so that it writes every address itself, as an absolute one.
objects=
compile trampoline/head.S
for source in data.S trampoline.S paging.c unpack.c lib.c; do
  compile "trampoline/$source" -fno-pie
done
"$CC" -E -P -x assembler-with-cpp -Itrampoline trampoline/stub.lds.S > "$work/stub.lds"
link absolute-bad
