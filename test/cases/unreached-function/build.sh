#!/bin/sh
# Builds good.elf and bad.elf. The committed ones: gcc 12.2.0 (Debian 12.2.0-14+deb12u1), GNU binutils 2.40.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
as --64 -o "$work/head.o" head.S
for name in good bad; do
  answer=42
  [ $name = good ] || answer=43
  gcc -std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pie -mno-red-zone -fno-stack-protector -fcf-protection=none \
    -fno-asynchronous-unwind-tables -fno-ident -DANSWER=$answer -c -o "$work/$name.o" kmain.c
  ld -N -m elf_x86_64 -Ttext 0x100000 --build-id=none --no-warn-rwx-segments -z noexecstack -o $name.elf "$work/head.o" "$work/$name.o"
  chmod 644 $name.elf
done
