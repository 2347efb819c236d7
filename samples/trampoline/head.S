/*
 * Entries of the stub: 32-bit at offset 0, 64-bit at 0x200, as the boot protocol has them. The stub is linked at 0 and
 * runs wherever it was loaded, so everything here is computed from RIP (or from a call's return address in 32-bit code).
 */
#include "layout.h"

	.section ".head.text", "ax"
	.code32
	.globl	startup_32
startup_32:
	cld
	cli
	/* ESI = boot_params; its scratch field is the only stack there is. EBP = load address. */
	leal	(BP_SCRATCH + 4)(%esi), %esp
	call	1f
1:	popl	%ebp
	subl	$(1b - startup_32), %ebp

	leal	(gdt - startup_32)(%ebp), %eax
	movl	%eax, (gdt_pointer - startup_32 + 2)(%ebp)
	lgdt	(gdt_pointer - startup_32)(%ebp)
	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	leal	(boot_stack_end - startup_32)(%ebp), %esp

	/* 4-level tables, 1:1, the first 4 GiB in 2 MiB pages: PML4, PDPT, 4 PDs. */
	leal	(early_pgtable - startup_32)(%ebp), %edi
	xorl	%eax, %eax
	movl	$(6 * 4096 / 4), %ecx
	rep stosl
	leal	(early_pgtable - startup_32)(%ebp), %edi
	leal	0x1003(%edi), %eax
	movl	%eax, (%edi)
	leal	0x2003(%edi), %eax
	movl	$4, %ecx
	leal	0x1000(%edi), %edx
1:	movl	%eax, (%edx)
	addl	$0x1000, %eax
	addl	$8, %edx
	loop	1b
	movl	$0x83, %eax		/* present, writable, 2 MiB */
	movl	$2048, %ecx
	leal	0x2000(%edi), %edx
1:	movl	%eax, (%edx)
	addl	$0x200000, %eax
	addl	$8, %edx
	loop	1b

	movl	%cr4, %eax
	btsl	$CR4_PAE_BIT, %eax
	movl	%eax, %cr4
	movl	%edi, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	btsl	$EFER_LME_BIT, %eax
	wrmsr
	pushl	$KERNEL_CS
	leal	(startup_64 - startup_32)(%ebp), %eax
	pushl	%eax
	movl	%cr0, %eax
	btsl	$CR0_PG_BIT, %eax
	movl	%eax, %cr0
	lret

	.org	0x200
	.code64
	.globl	startup_64
startup_64:
	cld
	cli
	/* Null data segments, as 64-bit mode needs none. */
	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%eax, %fs
	movl	%eax, %gs

	leaq	boot_stack_end(%rip), %rsp
	leaq	gdt(%rip), %rax
	movq	%rax, gdt_pointer+2(%rip)
	lgdt	gdt_pointer(%rip)
	call	reload_cs
	/* No exception has a handler: any is a triple fault. */
	lidt	no_idt(%rip)

	leaq	_bss(%rip), %rdi
	leaq	_ebss(%rip), %rcx
	subq	%rdi, %rcx
	xorl	%eax, %eax
	rep stosb

	leaq	startup_32(%rip), %rbx	/* load address */
#ifdef COMPARE
	call	settle_pgtable
#endif
	movq	%rsi, %r12		/* boot_params */
	movq	%r12, %rdi
	call	paging_prepare
	movq	%rax, %rdi		/* trampoline memory */
	movq	%rdx, %rsi		/* 5-level paging wanted */
	call	call_trampoline
	call	paging_finish

	movq	%rbx, %rdi
	call	unpack_kernel
	movq	%r12, %rsi
	jmp	*%rax

/* Returns to its caller with CS from the stub's own GDT. */
reload_cs:
	popq	%rax
	pushq	$KERNEL_CS
	pushq	%rax
	lretq

	.globl	head_end
head_end:
