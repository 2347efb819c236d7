/*
 * Are the page tables in use the stub's own (32-bit entry) or the loader's (64-bit entry)? In the second case the
 * stub's are cleared, to be free for later. The compare takes its operand from the GOT; without -pie ld turns it into a
 * compare with the link address, which no running stub's CR3 equals: the tables in use are cleared.
 */
#include "layout.h"

	.text
	.code64
/* void settle_pgtable(RBX = load address) */
	.globl	settle_pgtable
settle_pgtable:
	/* With -pie the GOT stays, linked at 0: every entry moves by the load address. */
	leaq	_got(%rip), %rdx
	leaq	_egot(%rip), %rcx
1:	cmpq	%rcx, %rdx
	jae	2f
	addq	%rbx, (%rdx)
	addq	$8, %rdx
	jmp	1b
2:
	movq	%cr3, %rax
	andq	$~0xfff, %rax
	cmpq	early_pgtable@GOTPCREL(%rip), %rax
	je	3f
	leaq	early_pgtable(%rip), %rdi
	movl	$(6 * 4096), %ecx
	xorl	%eax, %eax
	rep stosb
3:	ret
