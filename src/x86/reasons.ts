// Why an exception is raised: each check of the manual that can fail has a name here, what it says in words, and where the
// manual has it. A fault cannot be made without one of these names.

export type Reason = {
  /** Where the check is described. */
  readonly manual: string;
  /** The check that failed, as a clause without a full stop. */
  readonly words: string;
};

export const REASONS = {
  'syscall-not-enabled': {
    manual: 'SDM 2B SYSCALL, SYSRET',
    words: 'SYSCALL and SYSRET need 64-bit mode and EFER.SCE',
  },
  'sysret-target-not-canonical': {
    manual: 'SDM 2B SYSRET',
    words: 'SYSRET returns to RCX, which is no canonical address',
  },
  'sysenter-not-available': {
    manual: 'SDM 2B SYSENTER',
    words: 'SYSENTER needs protected mode and a code segment in IA32_SYSENTER_CS',
  },
  'sysexit-not-available': {
    manual: 'SDM 2B SYSEXIT',
    words: 'SYSEXIT needs protected mode, privilege level 0 and a code segment in IA32_SYSENTER_CS',
  },
  'sysexit-target-not-canonical': {
    manual: 'SDM 2B SYSEXIT',
    words: 'SYSEXIT returns to RDX with RCX as its stack, and one of them is no canonical address',
  },
  'fsgsbase-not-enabled': {
    manual: 'SDM 2A RDFSBASE/RDGSBASE, 2B WRFSBASE/WRGSBASE',
    words: 'RDFSBASE, WRFSBASE and the like need 64-bit mode and CR4.FSGSBASE',
  },
  'segment-base-not-canonical': {
    manual: 'SDM 2B WRFSBASE/WRGSBASE',
    words: 'the new segment base is no canonical address',
  },
  'interrupt-flag-privilege': {
    manual: 'SDM 2A CLI, 2B STI',
    words: 'CLI and STI need a privilege level that IOPL allows',
  },
  'vm86-needs-iopl-3': { manual: 'SDM 3B 21.2.7', words: 'in virtual-8086 mode this instruction needs IOPL 3' },
  'smap-flag-privilege': { manual: 'SDM 2A CLAC, 2B STAC', words: 'CLAC and STAC need privilege level 0' },
  'invpcid-type-or-pcid': {
    manual: 'SDM 2A INVPCID',
    words: 'the type of INVPCID is above 3, or bits 63:12 of its PCID are not 0',
  },
  'invpcid-pcid-without-pcide': {
    manual: 'SDM 2A INVPCID',
    words: 'INVPCID names a PCID that is not 0, and CR4.PCIDE is clear',
  },
  'invpcid-address-not-canonical': {
    manual: 'SDM 2A INVPCID',
    words: 'the linear address of INVPCID is not canonical',
  },
  'table-base-not-canonical': {
    manual: 'SDM 2A LGDT/LIDT',
    words: 'the base that LGDT or LIDT loads is no canonical address',
  },
  'needs-protected-mode': {
    manual: 'SDM 2A LLDT, LTR and the like',
    words: 'this instruction does not exist in real and virtual-8086 mode',
  },
  'system-selector-in-ldt': {
    manual: 'SDM 2A LLDT, LTR',
    words: 'the selector names the LDT, and such a descriptor can only stand in the GDT',
  },
  'system-descriptor-upper-half': {
    manual: 'SDM 3A 3.5.2, 7.2.3',
    words: 'the upper half of the 16-byte descriptor has a type, or its base is no canonical address',
  },
  'lldt-not-an-ldt': { manual: 'SDM 2A LLDT', words: 'the selector of LLDT names no LDT descriptor' },
  'lldt-not-present': { manual: 'SDM 2A LLDT', words: 'the LDT descriptor is not present' },
  'ltr-null': { manual: 'SDM 2A LTR', words: 'the selector of LTR is null' },
  'ltr-not-an-available-tss': {
    manual: 'SDM 2A LTR',
    words: 'the selector of LTR names no available TSS (a busy one is none)',
  },
  'ltr-not-present': { manual: 'SDM 2A LTR', words: 'the TSS descriptor is not present' },
  'bound-exceeded': { manual: 'SDM 2A BOUND', words: 'the index lies outside the bounds' },
  'iret-target-beyond-limit': {
    manual: 'SDM 2A IRET',
    words: 'IRET returns to an offset beyond the limit of the code segment',
  },
  'iret-task-in-long-mode': {
    manual: 'SDM 2A IRET',
    words: 'IRET with RFLAGS.NT set goes back to a task, and IA-32e mode has none',
  },
  'io-map-beyond-tss': {
    manual: 'SDM 1 19.5.2',
    words: 'the privilege level is above IOPL, and the I/O permission bit of the port lies beyond the limit of the TSS',
  },
  'io-no-tss': {
    manual: 'SDM 1 19.5.2',
    words: 'the privilege level is above IOPL, and there is no 32-bit TSS with an I/O permission map',
  },
  'io-not-permitted': {
    manual: 'SDM 1 19.5.2',
    words: 'the privilege level is above IOPL, and the I/O permission map of the TSS forbids the port',
  },
  'pdpte-reserved-bit': {
    manual: 'SDM 3A 4.4.1',
    words:
      'a page-directory-pointer-table entry that CR3 leads to under PAE paging is present and has a reserved bit set',
  },
  'cr0-upper-half': { manual: 'SDM 2B MOV - Move to/from Control Registers', words: 'bits 63:32 of CR0 have to be 0' },
  'cr0-pg-without-pe': {
    manual: 'SDM 2B MOV - Move to/from Control Registers',
    words: 'CR0.PG is set and CR0.PE is not',
  },
  'cr0-nw-without-cd': {
    manual: 'SDM 2B MOV - Move to/from Control Registers',
    words: 'CR0.NW is set and CR0.CD is not',
  },
  'long-mode-without-pae': { manual: 'SDM 3A 11.8.5', words: 'CR0.PG is set with EFER.LME set, and CR4.PAE is clear' },
  'long-mode-from-64-bit-code': {
    manual: 'SDM 3A 11.8.5',
    words: 'CR0.PG is set with EFER.LME set, and CS has its L bit set already',
  },
  'long-mode-with-16-bit-tss': {
    manual: 'SDM 3A 11.8.5.1',
    words: 'CR0.PG is set with EFER.LME set, and TR holds a 16-bit TSS',
  },
  'cr0-pg-cleared-in-64-bit-mode': {
    manual: 'SDM 2B MOV - Move to/from Control Registers',
    words: 'CR0.PG cannot be cleared in 64-bit mode',
  },
  'cr0-pg-cleared-with-pcide': {
    manual: 'SDM 2B MOV - Move to/from Control Registers',
    words: 'CR0.PG cannot be cleared while CR4.PCIDE is set',
  },
  'cr3-reserved-bit': {
    manual: 'SDM 2B MOV - Move to/from Control Registers',
    words: 'a bit of CR3 is set that is beyond the physical address width',
  },
  'cr4-reserved-bit': {
    manual: 'SDM 2B MOV - Move to/from Control Registers',
    words: 'a bit of CR4 is set that is reserved, or whose feature this processor does not have',
  },
  'cr4-pae-cleared-in-long-mode': {
    manual: 'SDM 2B MOV - Move to/from Control Registers',
    words: 'CR4.PAE cannot be cleared in IA-32e mode',
  },
  'cr4-la57-changed-in-long-mode': {
    manual: 'SDM 2B MOV - Move to/from Control Registers',
    words: 'CR4.LA57 cannot be changed in IA-32e mode',
  },
  'cr4-pcide-outside-long-mode': {
    manual: 'SDM 2B MOV - Move to/from Control Registers',
    words: 'CR4.PCIDE can be set in IA-32e mode only',
  },
  'cr4-pcide-with-pcid': {
    manual: 'SDM 2B MOV - Move to/from Control Registers',
    words: 'CR4.PCIDE can be set only while bits 11:0 of CR3 are 0',
  },
  'efer-reserved-bit': {
    manual: 'SDM 3A 2.2.1',
    words: 'a bit of EFER is set that is reserved, or whose feature this processor does not have',
  },
  'efer-nxe-disabled': {
    manual: 'SDM 4 IA32_MISC_ENABLE',
    words: 'EFER.NXE cannot be set while IA32_MISC_ENABLE disables the execute-disable bit',
  },
  'efer-lme-with-paging': { manual: 'SDM 3A 2.2.1', words: 'EFER.LME cannot be changed while paging is on' },
  'cr8-reserved-bit': { manual: 'SDM 2B MOV - Move to/from Control Registers', words: 'bits 63:4 of CR8 have to be 0' },
  umip: { manual: 'SDM 3A 2.5', words: 'CR4.UMIP keeps SGDT, SIDT, SLDT, SMSW and STR from levels 1 to 3' },
  'osxsave-not-enabled': { manual: 'SDM 1 13.3', words: 'XSAVE and its kin, XGETBV and XSETBV need CR4.OSXSAVE' },
  'xgetbv-index': { manual: 'SDM 2D XGETBV', words: 'there is no extended control register of the number in ECX' },
  'xsetbv-index': { manual: 'SDM 2D XSETBV', words: 'there is no extended control register of the number in ECX' },
  'xcr0-invalid': {
    manual: 'SDM 2D XSETBV',
    words: 'the new value of XCR0 lacks bit 0, sets AVX without SSE, or has a bit that this processor does not have',
  },
  'task-switched': {
    manual: 'SDM 3A 2.5, 14.1',
    words: 'CR0.TS is set: the floating-point and vector state has to be restored first',
  },
  'xsave-area-misaligned': { manual: 'SDM 1 13.7', words: 'the XSAVE area is not 64-byte aligned' },
  'xsave-header-invalid': {
    manual: 'SDM 1 13.8',
    words: 'the header of the XSAVE area has a reserved bit set, or names components that XCR0 does not have',
  },
  'xsave-compacted-not-offered': {
    manual: 'SDM 1 13.8',
    words: 'the XSAVE area has the compacted format, which this processor does not have',
  },
  'mxcsr-reserved-bit': { manual: 'SDM 1 10.2.3', words: 'a reserved bit of the new MXCSR is set' },
  'dr4-dr5-with-de': { manual: 'SDM 3B 18.2.2', words: 'CR4.DE is set, and DR4 and DR5 do not exist then' },
  'debug-register-upper-half': {
    manual: 'SDM 2B MOV - Move to/from Debug Registers',
    words: 'bits 63:32 of DR6 and DR7 have to be 0',
  },
  'general-detect': { manual: 'SDM 3B 18.2.4', words: 'DR7.GD guards the debug registers' },
  'no-such-msr': { manual: 'SDM 2B RDMSR, 2D WRMSR', words: 'there is no MSR of the number in ECX' },
  'msr-value-refused': {
    manual: 'SDM 2D WRMSR, SDM 4',
    words:
      'the MSR in ECX cannot be written, or not with this value: a reserved bit or memory type, or no canonical address',
  },
  'apic-msr': {
    manual: 'SDM 3A 12.12',
    words: 'there is no such local-APIC register, or it cannot be written so, in the mode that the local APIC is in',
  },
  tsd: { manual: 'SDM 2B RDTSC', words: 'CR4.TSD keeps the time-stamp counter from levels 1 to 3' },
  'rdpmc-index': { manual: 'SDM 2B RDPMC', words: 'there is no performance counter of the number in ECX' },
  'far-target-beyond-limit': {
    manual: 'SDM 2A JMP, CALL',
    words: 'the target offset lies beyond the limit of the code segment',
  },
  'gate-code-null': { manual: 'SDM 2A CALL', words: 'the call gate names a null code selector' },
  'gate-code-not-reachable': {
    manual: 'SDM 2A CALL',
    words: 'the call gate leads to no code segment, or to one of a level that cannot be reached so',
  },
  'gate-code-not-64-bit': { manual: 'SDM 2A CALL', words: 'in IA-32e mode a call gate has to lead to 64-bit code' },
  'gate-code-not-present': { manual: 'SDM 2A CALL', words: 'the code segment of the call gate is not present' },
  'gate-privilege': {
    manual: 'SDM 3A 5.8.4',
    words: 'the DPL of the call gate is below the privilege level, or below the RPL of its selector',
  },
  'gate-not-present': { manual: 'SDM 2A CALL', words: 'the call gate is not present' },
  'task-privilege': {
    manual: 'SDM 3A 8.2.2, 8.2.5',
    words: 'the DPL of the TSS or task gate is below the privilege level, or below the RPL of its selector',
  },
  'task-gate-not-present': { manual: 'SDM 2A CALL', words: 'the task gate is not present' },
  'far-target-no-gate': {
    manual: 'SDM 2A JMP, CALL',
    words: 'the selector names a system descriptor that is no gate and no task',
  },
  'gate-upper-half': { manual: 'SDM 3A 5.8.3.1', words: 'the upper half of the call gate has a type' },
  'far-target-null': { manual: 'SDM 2A JMP, CALL', words: 'the selector is null' },
  'retf-target-beyond-limit': {
    manual: 'SDM 2B RET',
    words: 'the return offset lies beyond the limit of the code segment',
  },
  'return-stack-null': {
    manual: 'SDM 2A IRET, 2B RET',
    words: 'the return names a null stack segment, which is good only for 64-bit code below level 3',
  },
  'return-code-null': { manual: 'SDM 2A IRET, 2B RET', words: 'the return names a null code segment' },
  'return-to-inner-level': {
    manual: 'SDM 2A IRET, 2B RET',
    words: 'the return names a code segment of a more privileged level',
  },
  'iret-vm86-target': { manual: 'SDM 2A IRET', words: 'IRET to virtual-8086 mode returns to an offset beyond 64 KiB' },
  'x87-emulated': { manual: 'SDM 3A 2.5, 14.1', words: 'CR0.EM is set: there is no floating-point unit to be used' },
  'osfxsr-not-enabled': { manual: 'SDM 3A 14.1', words: 'SSE instructions need CR4.OSFXSR, which is clear' },
  'x87-pending': { manual: 'SDM 1 8.7', words: 'an unmasked x87 floating-point exception is pending' },
  'fxsave-area-misaligned': { manual: 'SDM 2A FXSAVE, FXRSTOR', words: 'the FXSAVE area is not 16-byte aligned' },
  'not-offered': {
    manual: 'SDM 2 (CPUID feature flags)',
    words: 'the instruction belongs to a feature that this processor does not have',
  },
  'undefined-opcode': { manual: 'SDM 2B UD', words: 'the bytes are no instruction in this mode' },
  'selector-beyond-table': {
    manual: 'SDM 3A 3.4.2',
    words: 'the selector names a descriptor beyond the limit of its table, or an LDT where there is none',
  },
  'code-segment-not-code': { manual: 'SDM 3A 5.8.1', words: 'the selector names no code segment' },
  'code-segment-long-and-big': { manual: 'SDM 3A 5.8.1', words: 'the code segment has both its L and its D bit set' },
  'code-segment-dpl': { manual: 'SDM 3A 5.8.1', words: 'the DPL of the code segment does not fit the privilege level' },
  'code-segment-rpl': { manual: 'SDM 3A 5.8.1', words: 'the RPL of the selector is above the privilege level' },
  'code-segment-not-present': { manual: 'SDM 3A 5.8.1', words: 'the code segment is not present' },
  'target-offset-not-executable': {
    manual: 'SDM 3A 5.8.1',
    words: 'the target offset is no canonical address, or lies beyond the limit of the code segment',
  },
  'stack-segment-null': { manual: 'SDM 2B MOV, 3A 6.12.1', words: 'the selector of the stack segment is null' },
  'stack-segment-rpl': {
    manual: 'SDM 2B MOV, 3A 6.12.1',
    words: 'the RPL of the stack selector differs from the privilege level',
  },
  'stack-segment-not-writable': {
    manual: 'SDM 2B MOV, 3A 6.12.1',
    words: 'the stack selector names no writable data segment',
  },
  'stack-segment-dpl': {
    manual: 'SDM 2B MOV, 3A 6.12.1',
    words: 'the DPL of the stack segment differs from the privilege level',
  },
  'stack-segment-not-present': { manual: 'SDM 2B MOV, 3A 6.12.1', words: 'the stack segment is not present' },
  'data-segment-not-readable': { manual: 'SDM 2B MOV', words: 'the selector names no readable segment' },
  'data-segment-privilege': {
    manual: 'SDM 2B MOV',
    words: 'the DPL of the data segment is below the privilege level, or below the RPL of its selector',
  },
  'data-segment-not-present': { manual: 'SDM 2B MOV', words: 'the data segment is not present' },
  'segment-limit': {
    manual: 'SDM 3A 5.3',
    words: 'the access lies beyond the limit of its segment, or the segment is null or does not allow such an access',
  },
  'address-not-canonical': { manual: 'SDM 1 3.3.7.1', words: 'the address is not canonical' },
  'privileged-instruction': { manual: 'SDM 3A 5.9', words: 'the instruction needs privilege level 0' },
  'task-selector-in-ldt': { manual: 'SDM 3A 8.2.2', words: 'the selector of the TSS names the LDT' },
  'task-not-a-tss': {
    manual: 'SDM 3A 8.2.2',
    words: 'the selector names no TSS, or one that is busy where an available one is wanted, or the other way round',
  },
  'task-not-present': { manual: 'SDM 3A 8.2.2', words: 'the TSS is not present' },
  'task-new-tss-limit': { manual: 'SDM 3A 8.3', words: 'the limit of the new TSS is too small' },
  'task-old-tss-limit': {
    manual: 'SDM 3A 8.3',
    words: 'the limit of the current TSS is too small for what is saved in it',
  },
  'task-ldt-in-ldt': { manual: 'SDM 3A table 8-1', words: 'the LDT selector of the new task names the LDT' },
  'task-ldt-invalid': {
    manual: 'SDM 3A table 8-1',
    words: 'the LDT selector of the new task names no LDT that is present',
  },
  'task-code-null': { manual: 'SDM 3A table 8-1', words: 'the code selector of the new task is null' },
  'task-code-not-code': {
    manual: 'SDM 3A table 8-1',
    words: 'the code selector of the new task names no code segment',
  },
  'task-code-dpl': {
    manual: 'SDM 3A table 8-1',
    words: "the DPL of the new task's code segment does not fit the RPL of its selector",
  },
  'task-code-not-present': { manual: 'SDM 3A table 8-1', words: 'the code segment of the new task is not present' },
  'task-data-invalid': {
    manual: 'SDM 3A table 8-1',
    words: 'a data selector of the new task names no readable segment, or one of a more privileged level',
  },
  'task-data-not-present': { manual: 'SDM 3A table 8-1', words: 'a data segment of the new task is not present' },
  'task-target-beyond-limit': {
    manual: 'SDM 3A 8.3',
    words: 'the instruction pointer of the new task lies beyond the limit of its code segment',
  },
  'task-trap': { manual: 'SDM 3A 8.2.1', words: 'the T bit of the new TSS is set' },
  'ivt-limit': { manual: 'SDM 3B 21.1.4', words: 'the vector lies beyond the limit of the interrupt table' },
  'idt-limit': { manual: 'SDM 3A 6.10', words: 'the vector lies beyond the limit of the IDT' },
  'idt-gate-type': {
    manual: 'SDM 3A 6.11',
    words: 'the IDT entry is no interrupt, trap or task gate that this mode knows',
  },
  'idt-gate-privilege': {
    manual: 'SDM 3A 6.12.1.1',
    words: 'a program may not call this gate: its DPL is below the privilege level',
  },
  'idt-gate-not-present': { manual: 'SDM 3A 6.11', words: 'the gate in the IDT is not present' },
  'handler-code-null': { manual: 'SDM 2A INT n', words: 'the gate names a null code selector' },
  'handler-code-not-code': { manual: 'SDM 2A INT n', words: 'the gate names no code segment' },
  'handler-code-dpl': {
    manual: 'SDM 3A 6.12.1.1',
    words: 'the code segment of the gate is less privileged than what was interrupted',
  },
  'handler-vm86-level': { manual: 'SDM 3B 21.2.3', words: 'the gate does not lead from virtual-8086 mode to level 0' },
  'handler-code-not-present': { manual: 'SDM 2A INT n', words: 'the code segment of the gate is not present' },
  'handler-not-64-bit': {
    manual: 'SDM 3A 6.14.1',
    words: 'in IA-32e mode a gate of the IDT has to lead to 64-bit code',
  },
  'tss-field-beyond-limit': {
    manual: 'SDM 3A 6.12.1, 7.2',
    words: 'the stack that the TSS names for the inner level lies beyond the limit of the TSS',
  },
  'stack-address-not-canonical': {
    manual: 'SDM 1 3.3.7.1',
    words: 'the stack pointer leads to an address that is not canonical',
  },
  'stack-limit': { manual: 'SDM 3A 5.3', words: 'the stack access lies beyond the limit of the stack segment' },
  'double-fault': { manual: 'SDM 3A 6.15', words: 'an exception came while another was being delivered' },
  'debug-trap': { manual: 'SDM 3B 18.3.1', words: 'a breakpoint of DR0 to DR3 was met, or RFLAGS.TF is set' },
  'simd-exception': {
    manual: 'SDM 3A 6.15',
    words: 'an SSE floating-point exception is raised that MXCSR does not mask',
  },
  'simd-exception-not-enabled': {
    manual: 'SDM 3A 2.5',
    words: 'an SSE floating-point exception is raised that MXCSR does not mask, and CR4.OSXMMEXCPT is clear',
  },
  'vector-misaligned': { manual: 'SDM 1 10.4.1.1', words: 'the memory operand is not 16-byte aligned' },
  'vex-needs-protected-mode': {
    manual: 'SDM 2A 2.3',
    words: 'VEX prefixes do not exist in real and virtual-8086 mode',
  },
  'avx-not-enabled': { manual: 'SDM 1 14.1.1', words: 'AVX needs CR4.OSXSAVE and bits 1 and 2 of XCR0' },
  'divide-by-zero': { manual: 'SDM 2A DIV, IDIV', words: 'the divisor is 0' },
  'divide-overflow': { manual: 'SDM 2A DIV, IDIV', words: 'the quotient does not fit its register' },
  'aam-zero': { manual: 'SDM 2A AAM', words: 'the base of AAM is 0' },
  'branch-target-beyond-limit': {
    manual: 'SDM 2A JMP, CALL, Jcc, 2B RET',
    words: 'the branch leads beyond the limit of the code segment',
  },
  'branch-target-not-canonical': {
    manual: 'SDM 2A JMP, CALL, Jcc, 2B RET',
    words: 'the branch leads to an address that is not canonical',
  },
  'fetch-beyond-limit': {
    manual: 'SDM 3A 6.15',
    words: 'the instruction lies beyond the limit of the code segment, in whole or in part',
  },
  'fetch-not-canonical': { manual: 'SDM 3A 6.15', words: 'the instruction pointer is no canonical address' },
  'instruction-too-long': { manual: 'SDM 3A 6.15', words: 'the instruction has more than 15 bytes' },
  'cmpxchg16b-misaligned': {
    manual: 'SDM 2A CMPXCHG8B/CMPXCHG16B',
    words: 'the operand of CMPXCHG16B is not 16-byte aligned',
  },
  'alignment-check': {
    manual: 'SDM 3A 6.15',
    words: 'CR0.AM and RFLAGS.AC are set, and the access at level 3 is not aligned',
  },
  'page-not-present': { manual: 'SDM 3A 4.7', words: 'an entry on the way to the page is not present' },
  'page-reserved-bit': { manual: 'SDM 3A 4.7', words: 'an entry on the way to the page has a reserved bit set' },
  'page-not-writable': { manual: 'SDM 3A 4.6', words: 'an entry on the way to the page forbids writes' },
  'page-supervisor-only': { manual: 'SDM 3A 4.6', words: 'an entry on the way to the page keeps level 3 from it' },
  'page-no-execute': { manual: 'SDM 3A 4.6', words: 'an entry on the way to the page forbids to execute it' },
  smep: { manual: 'SDM 3A 4.6', words: 'CR4.SMEP keeps levels 0 to 2 from executing pages of level 3' },
  smap: {
    manual: 'SDM 3A 4.6',
    words: 'CR4.SMAP keeps levels 0 to 2 from accessing pages of level 3 while RFLAGS.AC is clear',
  },
  'interrupt-instruction': { manual: 'SDM 2A INT n', words: 'the instruction asks for this interrupt' },
  'by-instruction': { manual: '', words: 'which check it was is seen from the instruction and the state (`reasonOf`)' },
} as const satisfies Record<string, Reason>;

export type ReasonId = keyof typeof REASONS;
