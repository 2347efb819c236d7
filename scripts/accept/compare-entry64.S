/*
 * A BIOS of 64 KiB that does nothing but bring the processor from reset into the state in which a boot loader enters a
 * kernel by its 64-bit entry (compare-qemu.ts): long mode, flat segments out of the GDT that lies in RAM already. Memory
 * contents come from elsewhere. RIP_AT, RSP_AT, RSI_AT, CR3_AT, CR4_AT, GDT_AT and GDT_LIMIT come from compare-qemu.ts.
 */
	.code16
	.text
	.globl	_start
_start:
	cli
	lgdtl	%cs:(gdt_pointer - _start + START)
	movl	$0x11, %eax		/* PE, ET */
	movl	%eax, %cr0
	ljmpl	$0x08, $(0xf0000 + START + in32 - _start)

	.code32
in32:
	movl	$CR4_AT, %eax
	movl	%eax, %cr4
	movl	$CR3_AT, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	xorl	%edx, %edx
	movl	$0x100, %eax		/* LME */
	wrmsr
	movl	$0x80000011, %eax	/* PG, ET, PE */
	movl	%eax, %cr0
	ljmpl	$0x10, $(0xf0000 + START + in64 - _start)

	.code64
in64:
	lgdt	0xf0000 + START + (entry_gdt - _start)
	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movl	$RSP_AT, %esp
	movl	$RSI_AT, %esi
	xorl	%eax, %eax
	xorl	%ebx, %ebx
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	xorl	%r8d, %r8d
	pushq	$2
	popfq
	ljmpl	*(0xf0000 + START + (target - _start))

	.balign	8
target:
	.long	RIP_AT
	.word	0x10
	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 0x08: 32-bit code */
	.quad	0x00af9b000000ffff	/* 0x10: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x18: data */
gdt_pointer:
	.word	. - gdt - 1
	.long	0xf0000 + START + (gdt - _start)
	.balign	8
entry_gdt:
	.word	GDT_LIMIT
	.quad	GDT_AT
	.balign	16
end:
