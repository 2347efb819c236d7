// Whether a constant is the address of something in the stub, and how sure that is. What speaks for it, in this order:
// that only a linker writes such bytes; that something is known to begin there; what the code does with it.

import type { Confidence } from '../types.ts';
import type { Candidate } from './scan.ts';
import { type Known, type Layout, type TargetFacts, targetFacts } from './targets.ts';
import type { Use } from './use.ts';

export type Judgement = { readonly confidence: Confidence; readonly reason: string; readonly facts: TargetFacts };

/** What begins where nobody would point by chance. */
const STRONG: ReadonlySet<Known> = new Set(['symbol', 'function', 'section', 'referenced', 'payload', 'string']);

/**
 * Undefined where the constant is none of the stub's addresses, or as likely a number.
 * @param preferred the address the header wants the kernel at: a number that boot code compares with
 */
export function judge(
  layout: Layout,
  candidate: Candidate,
  preferred: bigint | undefined,
  use: () => Use,
): Judgement | undefined {
  const { constant } = candidate.reference;
  if (constant < 0n || constant > BigInt(layout.possibleEnd) || constant === preferred) return undefined;
  const facts = targetFacts(layout, Number(constant));
  if (facts.part === 'outside') return undefined;
  const low = facts.part === 'head' || constant <= SMALL;
  const verdict = low ? inHead(layout, candidate, facts, use) : beyondHead(layout, candidate, facts, use);
  return verdict === undefined ? undefined : { ...verdict, facts };
}

type Verdict = Omit<Judgement, 'facts'>;

const MADE_BY_LINKER =
  'The bytes are longer than the number needs, and compilers and assemblers take the shortest form: a linker put it in the place of something else';

/** Below this a number is as likely a size or a flag, wherever the payload starts. */
const SMALL = 0x1000n;

/** An address below the payload is as small as any number: only bytes that a linker alone writes count. */
function inHead(layout: Layout, candidate: Candidate, facts: TargetFacts, use: () => Use): Verdict | undefined {
  if (!candidate.linkerMade) return undefined;
  const small =
    'Its value is as small as many plain numbers, for it lies in the first bytes of the stub; a second build with another layout of the head would settle it (`firstlight diff`)';
  const used = use();
  if (used === 'address')
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

function beyondHead(layout: Layout, candidate: Candidate, facts: TargetFacts, use: () => Use): Verdict | undefined {
  // Nothing begins within the packed kernel, so a number of that size is a number.
  if (facts.part === 'payload' && facts.known !== 'payload' && facts.known !== 'symbol') return undefined;
  if (candidate.linkerMade) return linkerMade(layout, candidate, facts);
  if (isRound(candidate.reference.constant)) return undefined;
  const strong = STRONG.has(facts.known);
  if (candidate.reference.form === 'disp32') {
    if (!strong && facts.part !== 'body' && !inKnownMemory(layout, candidate)) return undefined;
    return {
      confidence: strong ? 'high' : 'medium',
      reason: `Memory is accessed at this fixed address, and ${reasonOf(facts)}.`,
    };
  }
  if (candidate.reference.form === 'alu-imm32') return operation(layout, candidate, facts);
  return strong ? plain(facts, use()) : undefined;
}

/** Page sizes, flags and masks: something may begin there by chance, and they are numbers all the same. */
const isRound = (value: bigint): boolean => (value & (value - 1n)) === 0n || (value & (value + 1n)) === 0n;

function linkerMade(layout: Layout, candidate: Candidate, facts: TargetFacts): Verdict {
  if (STRONG.has(facts.known) || facts.known === 'instruction')
    return { confidence: 'high', reason: `${MADE_BY_LINKER}, and ${reasonOf(facts)}.` };
  const within = facts.part === 'body' || inKnownMemory(layout, candidate);
  return { confidence: within ? 'high' : 'medium', reason: `${MADE_BY_LINKER}, and ${reasonOf(facts)}.` };
}

/**
 * An operation with an immediate: of addresses only where it works on 64 bits, and where something known begins there.
 * Page and mask sizes fall into the range of a small kernel's stub, so that alone says nothing.
 */
function operation({ linked }: Layout, candidate: Candidate, facts: TargetFacts): Verdict | undefined {
  if (!candidate.addressSized || (candidate.bits === 32 && !candidate.compares)) return undefined;
  if (STRONG.has(facts.known)) return { confidence: 'high', reason: `It works on 64 bits, and ${reasonOf(facts)}.` };
  if (!linked.has(Number(candidate.reference.constant))) return undefined;
  return {
    confidence: 'high',
    reason: 'It works on 64 bits, and a linker put the same address into other instructions.',
  };
}

/** The shortest form of a number: an address only if something begins there and nobody counts with it. */
function plain(facts: TargetFacts, use: Use): Verdict | undefined {
  if (use === 'number') return undefined;
  const confidence = use === 'address' ? 'high' : use === 'unknown' ? 'low' : 'medium';
  return { confidence, reason: `${capital(reasonOf(facts))}; ${USE_REASONS[use]}.` };
}

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

const USE_REASONS: Record<Exclude<Use, 'number'>, string> = {
  address: 'the code then uses it as an address',
  argument: 'the code then hands it to a function',
  stored: 'the code then stores it',
  unknown: 'what the code does with it could not be followed',
};
