// The words of findings, each written once: where a form comes from, and what to do. Paragraphs are lines.
// Facts: x86-64 psABI, "Optimize GOTPCRELX Relocations"; tried with GNU ld and gold 2.40, lld 14, mold 1.10.

import type { OriginClues } from '../code/origin.ts';
import type { ReferenceForm } from '../code/references.ts';
import { LOOK_AT_LINK, THEN_CHECK_LINK, FLAGS_GET_LOST, GUARDS, RUNS_ANYWHERE } from './link.ts';

type Words = {
  /** The relocation in the object file that it came from. */
  readonly relocation: string;
  /** Who made this of it, and why. */
  readonly decision: string;
  readonly advice: string;
};

/** What every form has in common. */
const RULE = `${RUNS_ANYWHERE} This one is a fixed number, and nothing corrects it.`;

const UNSEEN =
  'No build check sees it: the GOT entry is gone and no run-time relocation is left, so `readelf -r` lists none, there is no TEXTREL, and the ASSERTs of the linker script hold. The file looks cleaner than a good one.';
const UNSEEN_WITHOUT_GOT =
  'No build check sees it: a link without -pie resolves the address and leaves no run-time relocation, so `readelf -r` lists none.';

const LINK_ADVICE = [
  LOOK_AT_LINK,
  `${FLAGS_GET_LOST} In the environment (\`LDFLAGS=... make\`) it does no harm. Kernels that call it KBUILD_LDFLAGS do so for this reason; then the same holds for that name.`,
  `Two guards that do not depend on -pie: ${GUARDS} RELOC_HIDE() is none: it hides the address from the compiler after it has been loaded, and the load is what is wrong.`,
].join('\n');
const COMPILE_ADVICE = [
  'Build that object with -fPIE and -mcmodel=small, or in assembly take the address with `lea SYMBOL(%rip),%reg`.',
  `${THEN_CHECK_LINK} With -pie ld refuses such a reference, or leaves a relocation that can be seen.`,
].join('\n');

const NOT_PIE =
  'The compiler, or somebody in assembly, wrote the address as an absolute one: the object was not built with -fPIE.';

const compilers = (relocation: string): Words => ({ relocation, decision: NOT_PIE, advice: COMPILE_ADVICE });

/** Forms with one origin. */
type PlainForm = Exclude<ReferenceForm, 'mov-imm32-rex' | 'alu-imm32'>;

const PLAIN: Record<PlainForm, Words> = {
  'mov-imm32': compilers('R_X86_64_32, of `mov $SYMBOL,%reg`'),
  movabs: compilers('R_X86_64_64, of `movabs $SYMBOL,%reg`'),
  'store-imm32': compilers('R_X86_64_32S, of `movq $SYMBOL,MEMORY`'),
  'alu-imm32-mem': compilers('R_X86_64_32S, of an operation of memory with `$SYMBOL`'),
  'push-imm32': compilers('R_X86_64_32S, of `push $SYMBOL`'),
  disp32: compilers('R_X86_64_32S, of an operand at an absolute address'),
  'base-disp32': compilers('R_X86_64_32S, of an operand at an absolute address plus a register'),
};

/** Forms that a linker makes of a load from the GOT, and a compiler writes as well. */
type SharedForm = Exclude<ReferenceForm, PlainForm>;

const LINKERS: Record<SharedForm, Words> = {
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
};

const COMPILERS: Record<SharedForm, Words> = {
  'mov-imm32-rex': compilers('R_X86_64_32S, of `mov $SYMBOL,%reg`'),
  'alu-imm32': compilers('R_X86_64_32S, of an operation with `$SYMBOL`'),
};

const OTHER_LINKER =
  'GNU ld makes the same bytes of a load from the GOT (R_X86_64_REX_GOTPCRELX) in a link without -pie';
const OTHER_COMPILER =
  'A compiler writes the same bytes with -fno-pie and -mcmodel=kernel, and an assembler of `$SYMBOL` (R_X86_64_32S)';

/** Who wrote a form that two can have written, how sure that is, and by what. */
type Verdict = { readonly by: 'linker' | 'compiler'; readonly why: string };

function verdictOf({ target, beside }: OriginClues): Verdict {
  if (target === 'text')
    return { by: 'compiler', why: `${OTHER_LINKER}; not here, for the address of a text never goes through the GOT.` };
  if (target === 'inside a symbol')
    return {
      by: 'compiler',
      why: `${OTHER_LINKER}; not here, for only the address of a whole symbol goes through the GOT, and this is within one.`,
    };
  if (beside === 'same function')
    return {
      by: 'compiler',
      why: `${OTHER_LINKER}; that is less likely, for the same function holds addresses in forms that no linker makes.`,
    };
  if (beside === 'elsewhere')
    return {
      by: 'compiler',
      why: `${OTHER_LINKER}; that is less likely, for other functions of the stub hold addresses in forms that no linker makes. Which it was, the object file tells (\`firstlight audit\` of it).`,
    };
  return {
    by: 'linker',
    why: `${OTHER_COMPILER}; that is less likely, for then others would be absolute in forms that no linker makes, and none is.`,
  };
}

/** Where an instruction of a form comes from. @param clues what the stub tells of it; without them the linker is named */
export function originOf(form: ReferenceForm, clues?: OriginClues): Words {
  if (!isShared(form)) return PLAIN[form];
  if (clues === undefined) return LINKERS[form];
  const { by, why } = verdictOf(clues);
  const words = by === 'linker' ? LINKERS[form] : COMPILERS[form];
  return { ...words, decision: `${words.decision} ${why}` };
}

const isShared = (form: ReferenceForm): form is SharedForm => form in LINKERS;

/** Paragraphs, each a line. */
export function explanationOf(form: ReferenceForm, clues?: OriginClues): string {
  const { relocation, decision, advice } = originOf(form, clues);
  const relaxed = advice === LINK_ADVICE;
  return [
    RULE,
    `Relocation in the object file: ${relocation}.`,
    relaxed ? `Linker decision: ${decision}` : decision,
    relaxed ? UNSEEN : UNSEEN_WITHOUT_GOT,
  ].join('\n');
}

/** Paragraphs, each a line. */
export const adviceOf = (form: ReferenceForm, clues?: OriginClues): string => originOf(form, clues).advice;
