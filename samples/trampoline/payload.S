/* What stands in the place of the kernel: position-independent 64-bit code that says so on the serial port and switches
   Firstlight's PC off (S5 by PM1a_CNT). Where nothing switches off by that, as QEMU, it halts. */
	.code64
	.text
	.globl	_start
_start:
	leaq	text(%rip), %rsi
1:	lodsb
	testb	%al, %al
	jz	3f
	movb	%al, %bl
	movw	$0x3fd, %dx
2:	inb	%dx, %al
	testb	$0x20, %al
	jz	2b
	movw	$0x3f8, %dx
	movb	%bl, %al
	outb	%al, %dx
	jmp	1b
3:	movw	$0x604, %dx
	movw	$0x3400, %ax
	outw	%ax, %dx
4:	cli
	hlt
	jmp	4b
text:
	.asciz	"Firstlight sample kernel, in the place of: Linux version 0.0.0-sample\r\n"
	.balign	16, 0
