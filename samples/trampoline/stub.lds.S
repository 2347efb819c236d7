/* Linked at 0, run anywhere: entries, payload, text. One script for all links. */
#include "layout.h"
OUTPUT_FORMAT("elf64-x86-64")
ENTRY(startup_64)
SECTIONS
{
	. = 0;
	.head.text : { *(.head.text) }
	/* Bytes 0x400 to 0x4ff are 0, where a PC has the BIOS data area: so the stub also runs loaded at 0. */
	.rodata..payload 0x1000 : { *(.rodata..payload) }
	.text TEXT_LINK_ADDRESS : { *(.text .text.*) }
	.rodata : ALIGN(16) { *(.rodata .rodata.*) }
	.data : ALIGN(16) { *(.data .data.*) }
	.got : ALIGN(8) { _got = .; *(.got) _egot = .; }
	.got.plt : { *(.got.plt) }
	.rela.dyn : { *(.rela.*) }
	.bss : ALIGN(4096) { _bss = .; *(.bss) *(COMMON) . = ALIGN(8); _ebss = .; *(.bss.early) . = ALIGN(4096); _end = .; }
	.plt : { *(.plt .plt.*) }
	/DISCARD/ : { *(.dynamic .dynsym .dynstr .hash .gnu.hash .interp .note .note.* .comment .eh_frame) }

	ASSERT(startup_64 == 0x200, "the 64-bit entry must stand at 0x200")
	ASSERT(head_end <= 0x400, "the entries reach into the BIOS data area of a stub at 0")
#ifndef COMPARE
	/* Checks of the kind a kernel's linker script makes; they hold for the broken link as well. */
	ASSERT(SIZEOF(.got) == 0, "unexpected GOT entries")
	ASSERT(SIZEOF(.rela.dyn) == 0, "unexpected run-time relocations")
#endif
}
