/*
 * A boot loader in the form of a kernel: QEMU's -kernel starts it, and it enters a bzImage that lies in memory at STAGED
 * by its 64-bit entry, with its protected-mode part at LOAD_AT and LEVELS of page tables, as the boot protocol asks
 * ("64-bit Boot Protocol"). Linked at CHAIN_AT, far from any load address; started at 1 MiB. PART_SIZE is the length of
 * the protected-mode part. All five come from judge-entry64.ts.
 */
#define PGTABLE (CHAIN_AT + 0x10000)	/* PML5, PML4, PDPT, 8 PDs: the first 8 GiB, 1:1 */
#define DIRECTORIES 8
#define BOOT_PARAMS (CHAIN_AT + 0x8000)	/* the command line behind it */
#define HDR_START 0x1f1
#define HDR_END_BYTE 0x201

	.code32
	.text
	.globl	_start
_start:
	cli
	cld
	movl	%esi, %ebx		/* boot_params, as our own setup part made them */
	movl	$0x100000, %esi
	movl	$CHAIN_AT, %edi
	movl	$(end - _start), %ecx
	rep movsb
	movl	$1f, %eax
	jmp	*%eax
1:
	lgdt	gdt_pointer
	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$(PGTABLE - 0x100), %esp

	movl	$PGTABLE, %edi
	xorl	%eax, %eax
	movl	$((3 + DIRECTORIES) * 1024), %ecx
	rep stosl
	movl	$(PGTABLE + 0x1003), PGTABLE
	movl	$(PGTABLE + 0x2003), PGTABLE + 0x1000
	movl	$(PGTABLE + 0x3003), %eax
	xorl	%ecx, %ecx
1:	movl	%eax, PGTABLE + 0x2000(,%ecx,8)
	addl	$0x1000, %eax
	incl	%ecx
	cmpl	$DIRECTORIES, %ecx
	jb	1b
	movl	$0x83, %eax
	xorl	%edx, %edx
	xorl	%ecx, %ecx
1:	movl	%eax, PGTABLE + 0x3000(,%ecx,8)
	movl	%edx, PGTABLE + 0x3004(,%ecx,8)
	addl	$0x200000, %eax
	adcl	$0, %edx
	incl	%ecx
	cmpl	$(DIRECTORIES * 512), %ecx
	jb	1b

	movl	%cr4, %eax
	orl	$0x20, %eax		/* PAE */
	.if	LEVELS == 5
	orl	$0x1000, %eax		/* LA57 */
	.endif
	movl	%eax, %cr4
	movl	$(PGTABLE + 0x1000 * (5 - LEVELS)), %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax		/* LME */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	ljmpl	$0x10, $in64

	.code64
in64:
	/* boot_params and command line move up, so that low addresses are free; then the setup header of the staged
	   image, with what QEMU put into ours. */
	movl	%ebx, %esi
	movl	$BOOT_PARAMS, %edi
	movl	%edi, %ebx
	movl	$4096, %ecx
	rep movsb
	movl	0x228(%rbx), %esi
	movl	$2048, %ecx
	movl	%edi, 0x228(%rbx)
	rep movsb
	movq	0x218(%rbx), %r8	/* ramdisk_image, ramdisk_size */
	movl	0x228(%rbx), %r9d	/* cmd_line_ptr */
	movabsq	$(STAGED + HDR_START), %rsi
	leaq	HDR_START(%rbx), %rdi
	movzbl	HDR_END_BYTE - HDR_START(%rsi), %ecx
	addl	$(0x202 - HDR_START), %ecx
	rep movsb
	movb	$0xff, 0x210(%rbx)	/* type_of_loader: undefined */
	movabsq	$LOAD_AT, %rax
	movl	%eax, 0x214(%rbx)	/* code32_start */
	movq	%r8, 0x218(%rbx)
	movl	%r9d, 0x228(%rbx)

	movabsq	$STAGED, %rsi
	movzbl	HDR_START(%rsi), %ecx	/* setup_sects */
	incl	%ecx
	shll	$9, %ecx
	addq	%rcx, %rsi
	movabsq	$LOAD_AT, %rdi
	movabsq	$PART_SIZE, %rcx
	rep movsb

	movq	%rbx, %rsi
	movabsq	$(LOAD_AT + 0x200), %rax
	jmp	*%rax

	.balign	8
gdt:
	.quad	0
	.quad	0
	.quad	0x00af9b000000ffff	/* 0x10: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x18: data */
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
	.balign	16
end:
