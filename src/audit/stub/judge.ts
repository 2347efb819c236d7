// Whether a constant is the address of something in the stub, and how sure that is. What speaks for it, in this order:
// that only a linker writes such bytes; that something is known to begin there; what the code does with it.

import type { Confidence } from '../types.ts';
import type { ReferenceForm } from '../../code/references.ts';
import type { Candidate } from './scan.ts';
import { type Known, type Layout, type TargetFacts, targetFacts } from './targets.ts';
import type { Uses } from './use.ts';

export type Judgement = {
  readonly confidence: Confidence;
  readonly reason: string;
  readonly facts: TargetFacts;
  /** Whether the code takes the value as it is, so that the right address in its place would be right. */
  readonly takenAsIs: boolean;
};

/** What begins where nobody would point by chance. */
const STRONG: ReadonlySet<Known> = new Set(['symbol', 'function', 'section', 'referenced', 'payload', 'string']);

/** Below this a number is as likely a size or a flag, wherever the payload starts. */
const SMALL = 0x1000n;
/** From here on few numbers lie within the some 100 KiB of a stub's body by chance. */
const LARGE = 0x100000n;

/** Whether its value is as small as any number, so that only the bytes say whether it is an address. */
export const liesInHead = ({ payload }: Layout, { reference }: Candidate): boolean =>
  reference.constant <= SMALL || (payload !== undefined && reference.constant < BigInt(payload.at));

/**
 * Undefined where the constant is none of the stub's addresses, or as likely a number, or is made right by the code.
 * @param preferred the address the header wants the kernel at: a number that boot code compares with
 */
export function judge(
  layout: Layout,
  candidate: Candidate,
  preferred: bigint | undefined,
  usesOf: () => Uses,
): Judgement | undefined {
  const { constant } = candidate.reference;
  if (constant < 0n || constant > BigInt(layout.possibleEnd) || constant === preferred) return undefined;
  const facts = targetFacts(layout, Number(constant));
  if (facts.part === 'outside') return undefined;
  const decide = liesInHead(layout, candidate) ? inHead : beyondHead;
  const verdict = decide(layout, candidate, facts, usesOf);
  if (verdict === undefined || isNoAddress(usesOf(), candidate.linkerMade)) return undefined;
  return { ...verdict, facts, takenAsIs: !usesOf().has('paired') };
}

/**
 * A size, or an address that the code corrects by the load address. One that is taken off an address where the code runs leaves
 * the load address; where it is used besides, a distance was meant, and it is one of its two ends.
 */
function isNoAddress(uses: Uses, linkerMade: boolean): boolean {
  if (uses.has('corrected')) return true;
  if (uses.has('address') || uses.has('measured')) return false;
  const handedOn = uses.has('argument') || uses.has('stored');
  // What only a linker writes is no size because, on some way, something is counted in the same register.
  return (uses.has('number') && !(linkerMade && handedOn)) || (uses.has('subtracted') && !handedOn);
}

type Verdict = Pick<Judgement, 'confidence' | 'reason'>;

const MADE_BY_LINKER =
  'The bytes are longer than the number needs, and compilers and assemblers write a number in the shortest form: this was a symbol to them, or a linker put it in the place of something else';

/** An address below the payload is as small as any number: only bytes that a linker alone writes count. */
function inHead(layout: Layout, candidate: Candidate, facts: TargetFacts, usesOf: () => Uses): Verdict | undefined {
  if (!candidate.linkerMade) return payloadStart(layout, candidate, facts, usesOf);
  const small =
    'Its value is as small as many plain numbers, for it lies in the first bytes of the stub; a second build with another layout of the head would settle it (`firstlight diff`)';
  if (usesOf().has('address'))
    return { confidence: 'medium', reason: `${MADE_BY_LINKER}, and it is used as an address. ${small}.` };
  // A link that fixed one address fixed others, whose targets are no small numbers.
  if (layout.fixed) {
    return {
      confidence: 'medium',
      reason: `${MADE_BY_LINKER}, and other instructions hold addresses of the stub in the same way. ${small}.`,
    };
  }
  const known = STRONG.has(facts.known) ? `, and ${KNOWN_REASONS[facts.known]}` : '';
  return { confidence: 'low', reason: `${MADE_BY_LINKER}${known}. ${small}.` };
}

/** A stub in which so many instructions hold addresses was not compiled to be position-independent. */
const MANY = 8;

/** In such a stub a number that is the payload's place, and is used as an address would be, is that. */
function payloadStart(
  { found, payload }: Layout,
  { reference, addressSized }: Candidate,
  { known }: TargetFacts,
  usesOf: () => Uses,
): Verdict | undefined {
  const takes = reference.form === 'store-imm32' ? addressSized : LOADS.has(reference.form);
  const own = payload !== undefined && Number(reference.constant) === payload.at;
  if (found < MANY || !takes || !own || known === 'nothing') return undefined;
  const used = reference.form === 'store-imm32' || usesOf().has('address') || isPassedOn(usesOf());
  return used
    ? { confidence: 'low', reason: `${capital(KNOWN_REASONS.payload)}, and ${found} others hold addresses so.` }
    : undefined;
}

const LOADS: ReadonlySet<ReferenceForm> = new Set(['mov-imm32', 'mov-imm32-rex', 'movabs']);

function beyondHead(layout: Layout, candidate: Candidate, facts: TargetFacts, usesOf: () => Uses): Verdict | undefined {
  // Nothing begins within the packed kernel, so a number of that size is a number.
  if (facts.part === 'payload' && facts.known !== 'payload' && facts.known !== 'symbol') return undefined;
  if (candidate.linkerMade) return linkerMade(layout, candidate, facts, usesOf);
  if (isRound(candidate.reference.constant)) return undefined;
  switch (candidate.reference.form) {
    case 'disp32':
      return absoluteOperand(layout, candidate, facts);
    case 'base-disp32':
      return usesOf().has('address') || isPassedOn(usesOf()) ? absoluteOperand(layout, candidate, facts) : undefined;
    case 'alu-imm32':
    case 'alu-imm32-mem':
      return operation(layout, candidate, facts);
    case 'store-imm32':
      return candidate.addressSized ? plain(layout, candidate, facts, new Set(['stored'])) : undefined;
    case 'push-imm32':
      return plain(layout, candidate, facts, new Set(usesOf().has('address') ? ['address'] : []));
    default:
      return plain(layout, candidate, facts, usesOf());
  }
}

/** Page sizes, flags and masks: something may begin there by chance, and they are numbers all the same. */
const isRound = (value: bigint): boolean => (value & (value - 1n)) === 0n || (value & (value + 1n)) === 0n;

function linkerMade(layout: Layout, candidate: Candidate, facts: TargetFacts, usesOf: () => Uses): Verdict {
  const reason = `${MADE_BY_LINKER}, and ${reasonOf(facts)}.`;
  const uses = usesOf();
  if (uses.has('scaled') && !uses.has('address') && !isPassedOn(uses))
    return { confidence: 'low', reason: `${reason} The code shifts it, as it would a size.` };
  const sure = STRONG.has(facts.known) || facts.known === 'instruction' || isOwn(layout, candidate, facts);
  return { confidence: sure ? 'high' : 'medium', reason };
}

const isPassedOn = (uses: Uses): boolean => PASSED_ON.some((use) => uses.has(use));

const PASSED_ON = ['argument', 'stored', 'paired', 'measured', 'compared'] as const;

/** Whether it lies where the stub is known to have something. */
const isOwn = (layout: Layout, candidate: Candidate, { part }: TargetFacts): boolean =>
  part === 'body' || inKnownMemory(layout, candidate);

function absoluteOperand(layout: Layout, candidate: Candidate, facts: TargetFacts): Verdict | undefined {
  const strong = STRONG.has(facts.known);
  if (!strong && !isOwn(layout, candidate, facts)) return undefined;
  // A displacement on a register may be the offset of a field, if a small one.
  const onBase = candidate.reference.form === 'base-disp32';
  if (onBase && !isTelling(layout, candidate, facts)) return undefined;
  const what = onBase
    ? 'Memory is addressed by this fixed address and a register in which no load address was seen'
    : 'Memory is accessed at this fixed address';
  return { confidence: strong ? 'high' : 'medium', reason: `${what}, and ${reasonOf(facts)}.` };
}

/** Whether the value alone speaks for an address: what begins there, or a number that few numbers are as large as. */
const isTelling = (layout: Layout, candidate: Candidate, facts: TargetFacts): boolean =>
  STRONG.has(facts.known) || (candidate.reference.constant >= LARGE && isOwn(layout, candidate, facts));

/**
 * An operation with an immediate: of addresses only where it works on 64 bits, and where something known begins there.
 * Page and mask sizes fall into the range of a small kernel's stub, so that alone says nothing.
 */
function operation(layout: Layout, candidate: Candidate, facts: TargetFacts): Verdict | undefined {
  if (!candidate.addressSized || (candidate.bits === 32 && !candidate.compares)) return undefined;
  if (isTelling(layout, candidate, facts))
    return { confidence: 'high', reason: `It works on 64 bits, and ${reasonOf(facts)}.` };
  if (!layout.linked.has(Number(candidate.reference.constant))) return undefined;
  return {
    confidence: 'high',
    reason: 'It works on 64 bits, and a linker put the same address into other instructions.',
  };
}

/** The shortest form of a number: an address only if something begins there, or few numbers are as large. */
function plain(layout: Layout, candidate: Candidate, facts: TargetFacts, uses: Uses): Verdict | undefined {
  if (!isTelling(layout, candidate, facts)) return undefined;
  const use = PLAIN_USES.find((one) => uses.has(one)) ?? 'unknown';
  // Without anything that begins there, what is done with it has to speak for it.
  if (!STRONG.has(facts.known) && (use === 'unknown' || use === 'scaled')) return undefined;
  const confidence = use === 'address' ? 'high' : use === 'unknown' || use === 'scaled' ? 'low' : 'medium';
  return { confidence, reason: `${capital(reasonOf(facts))}; ${USE_REASONS[use]}.` };
}

/** What speaks loudest first. */
const PLAIN_USES = ['address', 'argument', 'stored', 'paired', 'measured', 'compared', 'scaled'] as const;

const inKnownMemory = (layout: Layout, { reference }: Candidate): boolean =>
  reference.constant < BigInt(layout.knownEnd);

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

function reasonOf({ part, known }: TargetFacts): string {
  if (known !== 'nothing' && known !== 'aligned') return KNOWN_REASONS[known];
  return part === 'bss'
    ? 'its value lies in the memory behind the stub where its variables are'
    : "its value lies in the stub's own code and data";
}

const KNOWN_REASONS: Record<Known, string> = {
  symbol: 'a symbol is exactly there',
  function: 'a function starts exactly there',
  section: 'a section starts exactly there',
  referenced: 'other code refers to exactly that address, the right way',
  payload: 'the payload starts or ends exactly there',
  string: 'a text starts exactly there',
  instruction: 'an instruction starts exactly there',
  aligned: "its value lies in the stub's own code and data",
  nothing: "its value lies in the stub's own code and data",
};

const USE_REASONS: Record<(typeof PLAIN_USES)[number] | 'unknown', string> = {
  address: 'the code then uses it as an address',
  argument: 'the code then hands it to a function',
  stored: 'the code then stores it',
  paired: 'the code then compares it with another such constant',
  measured: 'the code then takes an address where it runs off it',
  compared: 'the code then compares it',
  scaled: 'the code then shifts it, as it would a size or the number of a page',
  unknown: 'what the code does with it could not be followed',
};
