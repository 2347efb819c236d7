// The words of findings, each written once: which relocation and which linker decision make a form, and what to do.
// Facts: x86-64 psABI, "Optimize GOTPCRELX Relocations"; tried with GNU ld and gold 2.40, lld 14, mold 1.10.

import type { ReferenceForm } from '../image/references.ts';

type Words = {
  /** The relocation in the object file that this came from. */
  readonly relocation: string;
  /** Who turned it into this, and why. */
  readonly decision: string;
};

const NO_PIE =
  'the link of the boot stub lost its -pie, so the linker took the symbol for an absolute address and removed the load from the GOT';

const GOT_MOV: Words = {
  relocation: 'R_X86_64_REX_GOTPCRELX, of `mov SYMBOL@GOTPCREL(%rip),%reg`',
  decision: `relaxed by GNU ld to \`mov $SYMBOL,%reg\`: ${NO_PIE} (with -pie it becomes \`lea SYMBOL(%rip),%reg\`; gold, lld and mold write the lea in both cases)`,
};

export const FORMS: Record<ReferenceForm, Words> = {
  'mov-imm32-rex': GOT_MOV,
  'alu-imm32': {
    relocation: 'R_X86_64_REX_GOTPCRELX or R_X86_64_GOTPCRELX, of an operation on `SYMBOL@GOTPCREL(%rip)`',
    decision: `relaxed by GNU ld or lld to the operation on $SYMBOL: ${NO_PIE} (with -pie the GOT entry stays)`,
  },
  'mov-imm32': {
    relocation: 'R_X86_64_32, of `mov $SYMBOL,%reg`',
    decision: 'written by the compiler or in assembly as an absolute address: the object was not built with -fPIE',
  },
  movabs: {
    relocation: 'R_X86_64_64, of `movabs $SYMBOL,%reg`',
    decision: 'written by the compiler or in assembly as an absolute address: the object was not built with -fPIE',
  },
  'push-imm32': {
    relocation: 'R_X86_64_32S, of `push $SYMBOL`',
    decision: 'written in assembly, or by a compiler without -fPIE, as an absolute address',
  },
  disp32: {
    relocation: 'R_X86_64_32S, of an operand at an absolute address',
    decision: 'written by the compiler or in assembly as an absolute address: the object was not built with -fPIE',
  },
};

export const explanationOf = (form: ReferenceForm): string =>
  `The stub runs where the boot loader put it, not where it was linked, and nothing relocates this reference: it holds its link address. Relocation: ${FORMS[form].relocation}. Linker decision: ${FORMS[form].decision}. No relocation is left in the file, so readelf -r, TEXTREL checks and linker-script ASSERTs find nothing.`;

const LINK_ADVICE =
  'Look at how arch/x86/boot/compressed/vmlinux is linked (make V=1): -pie and --no-dynamic-linker must be there. A variable on the make command line (make LDFLAGS=...) replaces every assignment of it in the makefiles; set it in the environment instead, or use the variable the kernel keeps for users. To be safe against a lost -pie: hidden visibility for the symbol, or -Wa,-mrelax-relocations=no. Hiding the address from the compiler (RELOC_HIDE) does not help while the address itself comes from this load.';
const COMPILE_ADVICE =
  'Build the object with -fPIE (and -mcmodel=small), or take the address with lea SYMBOL(%rip) in assembly; then check that -pie and --no-dynamic-linker are on the link line of arch/x86/boot/compressed/vmlinux.';

export const adviceOf = (form: ReferenceForm): string =>
  form === 'mov-imm32-rex' || form === 'alu-imm32' ? LINK_ADVICE : COMPILE_ADVICE;
