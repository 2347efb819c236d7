/* Numbers shared by the stub's assembly, its C and its linker script. */
#ifndef LAYOUT_H
#define LAYOUT_H

/* Selectors: the boot protocol fixes 0x10 and 0x18; 0x08 is the 32-bit code segment of the trampoline. */
#define KERNEL32_CS 0x08
#define KERNEL_CS 0x10
#define KERNEL_DS 0x18

/* Low memory for the way through 32-bit mode: page 0 the top page table, page 1 code with its stack at the end. */
#define TRAMPOLINE_SIZE 0x2000
#define TRAMPOLINE_CODE_OFFSET 0x1000
#define TRAMPOLINE_CODE_SIZE 0x100

#define PREF_ADDRESS 0x1000000
#define KERNEL_ALIGNMENT 0x200000
#define INIT_SIZE 0x400000

/* The stub's text is linked here, so that its link addresses look like addresses and lie below any load address. */
#define TEXT_LINK_ADDRESS 0x18000

#define CR0_PG_BIT 31
#define CR4_PAE_BIT 5
#define CR4_LA57_BIT 12
#define MSR_EFER 0xc0000080
#define EFER_LME_BIT 8

/* Offsets in boot_params (Linux Documentation/arch/x86/zero-page.rst). */
#define BP_EXT_CMD_LINE_PTR 0x0c8
#define BP_SCRATCH 0x1e4
#define BP_E820_ENTRIES 0x1e8
#define BP_CMD_LINE_PTR 0x228
#define BP_E820_TABLE 0x2d0

#endif
