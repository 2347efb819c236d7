# A kernel of the Multiboot kind: entered in 32-bit mode, it goes to 64-bit mode by a far return and calls kmain through a
# pointer, so that following its jumps and calls ends in the first lines.
    .section .text
    .code32
    .globl _start
    .type _start, @function
_start:
    movl $stack, %esp
    movl pointer, %ecx
    pushl $8
    pushl $start64
    lretl
    .size _start, . - _start

    .code64
    .type start64, @function
start64:
    movq pointer, %rax
    call *%rax
1:  hlt
    jmp 1b
    .size start64, . - start64

    .section .data
pointer: .quad kmain
    .space 256
stack:
