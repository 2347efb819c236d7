/*
 * The real-mode part of the sample image: the setup header of boot protocol 2.15, and just enough code for a loader
 * that enters in real mode (QEMU's -kernel, GRUB's linux16). It asks the BIOS for the memory map, fills a boot_params
 * and goes to the protected-mode part by its 32-bit entry. Loaders that use the 32- or 64-bit entry skip it.
 * PAYLOAD_OFFSET, PAYLOAD_LENGTH, KERNEL_INFO_OFFSET and SYSSIZE come from build.sh.
 */
#include "layout.h"

#define SETUP_SECTS 15
#define STACK_TOP 0x1000
#define BOOT_PARAMS 0x1000 /* inside the loaded setup part, zero in the file */
#define E820_MAX 128

	.code16
	.text
	.globl	_start
_start:
	.org	0x1f1
	.byte	SETUP_SECTS		/* setup_sects */
	.word	0			/* root_flags */
	.long	SYSSIZE			/* syssize, in 16-byte paragraphs */
	.word	0			/* ram_size */
	.word	0xffff			/* vid_mode: normal */
	.word	0			/* root_dev */
	.word	0xaa55			/* boot_flag */
	.byte	0xeb, entry - 1f	/* jump, also the end of the header */
1:
	.ascii	"HdrS"			/* header */
	.word	0x020f			/* version */
	.long	0			/* realmode_swtch */
	.word	0x1000			/* start_sys_seg */
	.word	version - 0x200		/* kernel_version */
	.byte	0			/* type_of_loader */
	.byte	0x01			/* loadflags: LOADED_HIGH */
	.word	0x8000			/* setup_move_size */
code32_start:
	.long	0x100000		/* code32_start */
	.long	0			/* ramdisk_image */
	.long	0			/* ramdisk_size */
	.long	0			/* bootsect_kludge */
	.word	0x2000			/* heap_end_ptr */
	.byte	0			/* ext_loader_ver */
	.byte	0			/* ext_loader_type */
	.long	0			/* cmd_line_ptr */
	.long	0x7fffffff		/* initrd_addr_max */
	.long	KERNEL_ALIGNMENT	/* kernel_alignment */
	.byte	1			/* relocatable_kernel */
	.byte	21			/* min_alignment: 2 MiB */
	.word	0x0063			/* xloadflags: KERNEL_64, CAN_BE_LOADED_ABOVE_4G, 5LEVEL, 5LEVEL_ENABLED */
	.long	2047			/* cmdline_size */
	.long	0			/* hardware_subarch */
	.quad	0			/* hardware_subarch_data */
	.long	PAYLOAD_OFFSET		/* payload_offset */
	.long	PAYLOAD_LENGTH		/* payload_length */
	.quad	0			/* setup_data */
	.quad	PREF_ADDRESS		/* pref_address */
	.long	INIT_SIZE		/* init_size */
	.long	0			/* handover_offset */
	.long	KERNEL_INFO_OFFSET	/* kernel_info_offset */
header_end:

entry:
	/* CS is DS + 0x20 here: continue with CS = DS, so that offsets count from the boot sector. */
	cli
	cld
	pushw	%ds
	pushw	$1f
	lretw
1:
	movw	%ds, %ax
	movw	%ax, %es
	movw	%ax, %ss
	movl	$STACK_TOP, %esp

	movw	$0x1f1, %si
	movw	$BOOT_PARAMS + 0x1f1, %di
	movw	$header_end - 0x1f1, %cx
	rep movsb

	/* INT 15h, AX=2401h: gate A20 on; and port 0x92 for a BIOS that does not know it. */
	movw	$0x2401, %ax
	int	$0x15
	inb	$0x92, %al
	orb	$0x02, %al
	andb	$0xfe, %al
	outb	%al, $0x92

	/* INT 15h, EAX=E820h, one entry a call, until EBX comes back 0. */
	xorl	%ebx, %ebx
	movw	$BOOT_PARAMS + BP_E820_TABLE, %di
1:
	movl	$0xe820, %eax
	movl	$20, %ecx
	movl	$0x534d4150, %edx
	int	$0x15
	jc	2f
	cmpl	$0x534d4150, %eax
	jne	2f
	addw	$20, %di
	incb	BOOT_PARAMS + BP_E820_ENTRIES
	cmpb	$E820_MAX, BOOT_PARAMS + BP_E820_ENTRIES
	jae	2f
	testl	%ebx, %ebx
	jnz	1b
2:
	cli
	xorl	%ebx, %ebx
	movw	%ds, %bx
	shll	$4, %ebx		/* linear address of this segment */
	leal	BOOT_PARAMS(%ebx), %esi
	addl	%ebx, gdt_base
	movl	code32_start, %eax
	movl	%eax, far_entry
	lgdtl	gdt_limit
	lidtl	no_idt

	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	jmp	1f
1:
	movw	$KERNEL_DS, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
	movw	%ax, %ss
	xorl	%ebp, %ebp
	xorl	%edi, %edi
	xorl	%ebx, %ebx
	/* Only CS still has the real-mode base. */
	ljmpl	*%cs:far_entry

far_entry:
	.long	0
	.word	KERNEL_CS
	.balign	8
no_idt:
	.word	0
	.long	0
	.balign	8
gdt:
	.quad	0
	.quad	0
	.quad	0x00cf9b000000ffff	/* 0x10: flat 32-bit code */
	.quad	0x00cf93000000ffff	/* 0x18: flat data */
gdt_limit:
	.word	. - gdt - 1
gdt_base:
	.long	gdt
version:
	.asciz	"0.0.0-sample (firstlight)"
	.org	(SETUP_SECTS + 1) * 512
