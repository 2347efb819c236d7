/* Descriptor tables, the payload, kernel_info, and memory that is not in the file. */
#include "layout.h"

	.section ".rodata..payload", "a"
	.globl	payload, payload_end
payload:
	.incbin	PAYLOAD_BIN
payload_end:

	.section ".rodata.kernel_info", "a"
	.globl	kernel_info
kernel_info:
	.ascii	"LToP"			/* header */
	.long	kernel_info_end - kernel_info	/* size */
	.long	kernel_info_end - kernel_info	/* size_total */
	.long	0x80000000		/* setup_type_max: SETUP_INDIRECT */
kernel_info_end:

	.data
	.balign	16
	.globl	gdt_pointer, gdt, no_idt
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	0
	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* KERNEL32_CS */
	.quad	0x00af9b000000ffff	/* KERNEL_CS: L=1 */
	.quad	0x00cf93000000ffff	/* KERNEL_DS */
gdt_end:
	.balign	8
no_idt:
	.word	0
	.quad	0

	/* Outside .bss proper: in use before .bss is zeroed. */
	.section ".bss.early", "aw", @nobits
	.balign	4096
	.globl	early_pgtable, boot_stack_end
early_pgtable:
	.skip	6 * 4096
	.skip	0x4000
boot_stack_end:
