// The words of findings, each written once: where a form comes from, and what to do. Paragraphs are lines.
// Facts: x86-64 psABI, "Optimize GOTPCRELX Relocations"; tried with GNU ld and gold 2.40, lld 14, mold 1.10.

import type { ReferenceForm } from './references.ts';

type Words = {
  /** The relocation in the object file that it came from. */
  readonly relocation: string;
  /** Who made this of it, and why. */
  readonly decision: string;
  readonly advice: string;
};

/** What every form has in common. */
const RULE =
  'The boot stub runs wherever the boot loader puts it, so each address in it has to be computed from where it runs. This one is a fixed number, and nothing corrects it.';

const UNSEEN =
  'No build check sees it: the GOT entry is gone and no run-time relocation is left, so `readelf -r` lists none, there is no TEXTREL, and the ASSERTs of the linker script hold. The file looks cleaner than a good one.';
const UNSEEN_WITHOUT_GOT =
  'No build check sees it: a link without -pie resolves the address and leaves no run-time relocation, so `readelf -r` lists none.';

const LINK_ADVICE = [
  'Look at the command that links arch/x86/boot/compressed/vmlinux (`make V=1`): it has to have -pie and --no-dynamic-linker.',
  'They get lost when a variable that the makefiles build up is given on the command line of make: `make LDFLAGS=...` replaces all that they assign to it. In the environment (`LDFLAGS=... make`) it does no harm. Kernels that call it KBUILD_LDFLAGS do so for this reason; then the same holds for that name.',
  'Two guards that do not depend on -pie: hidden visibility for the symbol, and `-Wa,-mrelax-relocations=no` for the objects of the stub. RELOC_HIDE() is none: it hides the address from the compiler after it has been loaded, and the load is what is wrong.',
].join('\n');
const COMPILE_ADVICE = [
  'Build that object with -fPIE and -mcmodel=small, or in assembly take the address with `lea SYMBOL(%rip),%reg`.',
  'Then check the command that links arch/x86/boot/compressed/vmlinux (`make V=1`): it has to have -pie and --no-dynamic-linker. With -pie ld refuses such a reference, or leaves a relocation that can be seen.',
].join('\n');

const NOT_PIE =
  'The compiler, or somebody in assembly, wrote the address as an absolute one: the object was not built with -fPIE.';

export const FORMS: Record<ReferenceForm, Words> = {
  'mov-imm32-rex': {
    relocation: 'R_X86_64_REX_GOTPCRELX, of `mov SYMBOL@GOTPCREL(%rip),%reg`, a load of the address from the GOT',
    decision:
      'GNU ld relaxed it to `mov $SYMBOL,%reg`, which it does in a link without -pie, where addresses are final. With -pie it makes `lea SYMBOL(%rip),%reg` of it, which is as long and right everywhere. (gold, lld and mold make the lea in both cases.) So the link of this stub has lost its -pie.',
    advice: LINK_ADVICE,
  },
  'alu-imm32': {
    relocation:
      'R_X86_64_REX_GOTPCRELX or R_X86_64_GOTPCRELX, of an operation on `SYMBOL@GOTPCREL(%rip)`, the address in the GOT',
    decision:
      'GNU ld or lld relaxed it to the operation on `$SYMBOL`, which they do in a link without -pie, where addresses are final. With -pie the GOT entry stays. So the link of this stub has lost its -pie.',
    advice: LINK_ADVICE,
  },
  'mov-imm32': { relocation: 'R_X86_64_32, of `mov $SYMBOL,%reg`', decision: NOT_PIE, advice: COMPILE_ADVICE },
  movabs: { relocation: 'R_X86_64_64, of `movabs $SYMBOL,%reg`', decision: NOT_PIE, advice: COMPILE_ADVICE },
  'store-imm32': { relocation: 'R_X86_64_32S, of `movq $SYMBOL,MEMORY`', decision: NOT_PIE, advice: COMPILE_ADVICE },
  'alu-imm32-mem': {
    relocation: 'R_X86_64_32S, of an operation of memory with `$SYMBOL`',
    decision: NOT_PIE,
    advice: COMPILE_ADVICE,
  },
  'push-imm32': { relocation: 'R_X86_64_32S, of `push $SYMBOL`', decision: NOT_PIE, advice: COMPILE_ADVICE },
  'base-disp32': {
    relocation: 'R_X86_64_32S, of an operand at an absolute address plus a register',
    decision: NOT_PIE,
    advice: COMPILE_ADVICE,
  },
  disp32: {
    relocation: 'R_X86_64_32S, of an operand at an absolute address',
    decision: NOT_PIE,
    advice: COMPILE_ADVICE,
  },
};

const relaxed = (form: ReferenceForm): boolean => FORMS[form].advice === LINK_ADVICE;

/** Paragraphs, each a line. */
export function explanationOf(form: ReferenceForm): string {
  const { relocation, decision } = FORMS[form];
  const unseen = relaxed(form) ? UNSEEN : UNSEEN_WITHOUT_GOT;
  return [
    RULE,
    `Relocation in the object file: ${relocation}.`,
    relaxed(form) ? `Linker decision: ${decision}` : decision,
    unseen,
  ].join('\n');
}

/** Paragraphs, each a line. */
export const adviceOf = (form: ReferenceForm): string => FORMS[form].advice;
