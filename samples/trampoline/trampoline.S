/*
 * The way from 64-bit mode through 32-bit mode with paging off, where alone CR4.LA57 may change (SDM vol. 3, 2.5 and
 * 4.1.2), and back. call_trampoline runs in place; trampoline_32bit_src is copied below 1 MiB by paging_prepare() and
 * runs only there.
 */
#include "layout.h"

	.text
	.code64
/* void call_trampoline(RDI = trampoline memory, RSI = 1 for 5-level paging, 0 for 4-level) */
	.globl	call_trampoline
call_trampoline:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	movq	%rsp, saved_rsp(%rip)
	movl	%edi, %ecx
	movl	%esi, %edx
	/* Upper halves of registers do not outlive 32-bit mode: the 64-bit return address waits on the low stack. */
	leaq	TRAMPOLINE_SIZE(%rcx), %rsp
	leaq	trampoline_return(%rip), %rax
	pushq	%rax
	pushq	$KERNEL32_CS
	leaq	TRAMPOLINE_CODE_OFFSET(%rcx), %rax
	pushq	%rax
	lretq
trampoline_return:
	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movq	saved_rsp(%rip), %rsp
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	.code32
/* Compatibility mode. ECX = trampoline memory, its first page the new top page table. EDX = 5-level paging wanted. */
	.balign	16
	.globl	trampoline_32bit_src
	.type	trampoline_32bit_src, @function
trampoline_32bit_src:
	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss

	movl	%cr0, %eax
	btrl	$CR0_PG_BIT, %eax
	movl	%eax, %cr0

	movl	%cr4, %eax
	movl	%eax, %ebx
	btrl	$CR4_LA57_BIT, %ebx
	testl	%edx, %edx
	jz	1f
	btsl	$CR4_LA57_BIT, %ebx
1:	cmpl	%eax, %ebx
	je	2f			/* nothing to change: CR3 stays, it may lie above 4 GiB */
	movl	%ebx, %cr4
	movl	%ecx, %cr3
2:
	pushl	$KERNEL_CS
	leal	(TRAMPOLINE_CODE_OFFSET + 3f - trampoline_32bit_src)(%ecx), %eax
	pushl	%eax
	movl	%cr0, %eax
	btsl	$CR0_PG_BIT, %eax
	movl	%eax, %cr0
	lret

	.code64
3:	movl	%esp, %esp
	ret
	.org	trampoline_32bit_src + TRAMPOLINE_CODE_SIZE, 0xcc	/* an error if the code outgrew it */
	.size	trampoline_32bit_src, TRAMPOLINE_CODE_SIZE

	.bss
	.balign	8
saved_rsp:
	.quad	0
