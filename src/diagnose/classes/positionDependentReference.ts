// An absolute address in code that runs unrelocated. Candidates are the executed instructions of the stub whose
// immediate is an address inside the image by its value; likelihood orders them, only the proof decides.

import type { BzImage } from '../../image/bzimage.ts';
import { type SymbolTable, symbolAt, symbolText } from '../../image/symbols.ts';
import type { ExecutedReference } from '../../record/references.ts';
import { findCode } from '../../code/codeMap.ts';
import { attText, decodeOne } from '../../code/disassembly.ts';
import { adviceOf, explanationOf } from '../../words/origin.ts';
import { type OriginClues, originFinder } from '../../code/origin.ts';
import { programOfBzImage } from '../../code/program.ts';
import { controlsOf } from '../controls.ts';
import { counterCheck } from '../counterCheck.ts';
import { type Ranges, rangesOf } from '../likelihood.ts';
import { repairedBoots, rewrittenIn, WANTED_ADDRESSES } from '../proof.ts';
import { type Change, changeOf, relocatedIn } from '../repair.ts';
import { followConstant } from '../steps.ts';
import { type Tried, tryRepair } from '../trials.ts';
import { candidatesBeside, fixedChanges, repairSeveral } from './severalReferences.ts';
import type {
  CounterCheck,
  Culprit,
  Evidence,
  Proof,
  ReferenceCause,
  ReferenceSuspicion,
  Step,
  Tick,
} from '../types.ts';
import type { DeathClass, Found } from './class.ts';
import { NAME, recordReferences } from './executedReferences.ts';
import { facts, suspicionFacts } from './referenceFacts.ts';
import { referenceWords } from './referenceWords.ts';
import type { Case } from '../case.ts';

/** Candidates that are tried at most. */
const MAX_TRIES = 24;
/** More than so many instructions with fixed addresses are no single mistakes. */
const MANY = 4;

function* find(dead: Case): Generator<Tick, Found<ReferenceCause, ReferenceSuspicion>> {
  const fixed = fixedChanges(dead);
  // Of many, the first death has one, the next death another: they are one cause, and are repaired as one.
  const many = fixed.length > MANY;
  const atOnce = many ? yield* judgeSeveral(dead, fixed) : undefined;
  if (atOnce !== undefined && 'cause' in atOnce) return { ...atOnce, suspicions: [] };
  if (atOnce !== undefined) return { cause: undefined, suspicions: [atOnce.suspicion], repaired: undefined };
  const suspicions: ReferenceSuspicion[] = [];
  const { work } = dead;
  const candidates = candidatesBeside([], dead);
  for (const [i, change] of candidates.entries()) {
    if (i >= MAX_TRIES || work.isOver) {
      work.leave(candidates.length - i);
      break;
    }
    const healed = yield* healing(dead, change);
    const found = healed && (yield* judge(dead, healed));
    if (found === undefined) continue;
    if ('cause' in found) return { ...found, suspicions };
    suspicions.push(found.suspicion);
  }
  const others = fixed.length > 0 || relocatedIn(dead.config).length > 0;
  const found = many || !others ? undefined : yield* judgeSeveral(dead, fixed);
  if (found !== undefined && 'cause' in found) return { ...found, suspicions: apartFrom(found.cause, suspicions) };
  return { cause: undefined, suspicions, repaired: undefined };
}

function* judgeSeveral(dead: Case, fixed: readonly Change[]): Generator<Tick, Judged | undefined> {
  const several = yield* repairSeveral(dead, fixed);
  return several && (yield* judge(dead, several));
}

/** What alone was not enough is no suspicion any more where it is part of the cause. */
function apartFrom(
  { instruction, others }: ReferenceCause,
  suspicions: readonly ReferenceSuspicion[],
): ReferenceSuspicion[] {
  const blamed = new Set([instruction, ...others.map((other) => other.instruction)].map((i) => i.fileOffset));
  return suspicions.filter((suspicion) => !blamed.has(suspicion.instruction.fileOffset));
}

type Judged = { readonly cause: ReferenceCause; readonly repaired: Tried } | { readonly suspicion: ReferenceSuspicion };

/** Undefined where the boot may have come past the death by chance. */
function* judge(dead: Case, healed: Healed): Generator<Tick, Judged | undefined> {
  const { image, evidence, symbols } = dead;
  const [change, ...others] = healed.changes;
  if (change === undefined) return undefined;
  const { tried } = healed;
  const { executed, repair } = change;
  const culprit = culpritOf(executed, symbols);
  const { steps, compared } = yield* followConstant(dead, executed);
  // A number that is no address may change a death by chance; the forms that compilers also write for plain numbers
  // are believed only where the value was seen being used as an address.
  const isAddress = onlyAddresses(culprit) || steps.length > 0 || others.length > 0;
  if (!isAddress) return undefined;
  const found = yield* proofOf(dead, { ...healed, compared });
  if (found === undefined) return undefined;
  const together = others.map((other) => ({
    instruction: culpritOf(other.executed, symbols),
    repair: other.repair,
  }));
  if (!found.held) return { suspicion: { class: NAME, instruction: culprit, others: together, proof: found } };
  const clues = originClues(image, symbols, executed);
  return {
    repaired: tried,
    cause: {
      class: NAME,
      instruction: culprit,
      repair,
      others: together,
      evidence,
      steps: [firstStep(culprit, rangesOf(image)), ...steps, ...lastStep(evidence, steps)],
      explanation: explanationOf(culprit.form, clues),
      advice: adviceOf(culprit.form, clues),
      proof: found,
    },
  };
}

function originClues(image: BzImage, symbols: SymbolTable | undefined, executed: ExecutedReference): OriginClues {
  const program = programOfBzImage(image, symbols);
  return originFinder(program, findCode(program))(Number(executed.link), executed.reference);
}

/** The 7-byte mov of a small positive number: assemblers and compilers write it of an address only. */
const onlyAddresses = ({ form, bits }: Pick<Culprit, 'form' | 'bits'>): boolean =>
  bits === 64 && form === 'mov-imm32-rex';

type Healed = { readonly changes: readonly Change[]; readonly tried: Tried };

/**
 * The repair that brings the boot past its death. One that only leads to another death may have put in the address in the
 * wrong copy of the stub (code that runs where it was loaded may mean the copy it goes on in), so that is tried too.
 */
function* healing(dead: Case, change: Change): Generator<Tick, Healed | undefined> {
  const tried = yield* tryRepair(dead, [change]);
  if (!tried.passed) return undefined;
  const copies = tried.next === undefined ? [] : tried.run.stages.destinations.map(BigInt);
  for (const copy of copies) {
    const other = copy === change.bias ? undefined : changeOf(change.executed, copy);
    if (other === undefined) continue;
    const again = yield* tryRepair(dead, [other]);
    if (again.passed && again.next === undefined) return { changes: [other], tried: again };
  }
  return { changes: [change], tried };
}

/** Undefined where what was seen speaks against the culprit. */
function* proofOf(
  dead: Case,
  { changes, tried, compared }: Healed & { readonly compared: boolean },
): Generator<Tick, Proof | undefined> {
  const sure = changes.every(({ executed }) => onlyAddresses({ form: executed.reference.form, bits: executed.bits }));
  const check: CounterCheck = yield* counterCheck({ dead, changes, compared, next: tried.next });
  if (check.verdict === 'failed' && !sure) return undefined;
  // A boot that only met another death is believed of a form that is none but an address. Any other number leads to the
  // same place of the image with a load bias added as without one, and may end there in the same way.
  if (tried.next !== undefined && !sure) return undefined;
  const far = check.verdict !== 'held' && !sure;
  const controls = yield* controlsOf(dead, changes, { tried, far });
  const heals = controls.some(({ boot }) => boot.passed);
  if (heals && !sure) return undefined;
  const repaired = yield* repairedBoots(dead, tried, (config) => rewrittenIn(config, changes, dead.outcome));
  const everywhere = repaired.addresses >= WANTED_ADDRESSES && repaired.boots.every((boot) => boot.passed);
  const held = everywhere && !heals && controls.length > 0 && check.verdict !== 'failed';
  return { held, boots: repaired.boots, controls, counterCheck: check };
}

function culpritOf(executed: ExecutedReference, symbols: SymbolTable | undefined): Culprit {
  const { reference, runtime, link, fileOffset, bytes, bits } = executed;
  const insn = decodeOne(bytes, link, bits);
  const text = attText(insn);
  insn.free();
  const name = (address: bigint): string | undefined => {
    const hit = symbols && symbolAt(symbols, address);
    return hit ? symbolText(hit) : undefined;
  };
  const symbol = name(link);
  const target = name(reference.constant);
  return {
    runtimeAddress: runtime,
    linkAddress: link,
    fileOffset,
    bytes,
    text,
    form: reference.form,
    bits,
    constant: reference.constant,
    bias: runtime - link,
    ...(symbol ? { symbol } : {}),
    ...(target ? { target } : {}),
  };
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

function firstStep(culprit: Culprit, ranges: Ranges): Step {
  const { constant, bias } = culprit;
  const right = constant + bias;
  const part = constant >= ranges.bodyStart ? 'code, data or bss' : constant < ranges.headEnd ? 'head' : 'payload';
  const named = culprit.target ? ` (${culprit.target})` : '';
  return {
    instruction: culprit,
    what: `uses the constant ${hex(constant)}${named}: a link address in the stub's ${part}. The stub runs ${hex(bias)} above its link address, so the thing itself lies at ${hex(right)}; at ${hex(constant)} lies something else or nothing`,
  };
}

/** The death, where following the constant has not already led to it. */
function lastStep({ at }: Evidence, steps: readonly Step[]): Step[] {
  if (!at || steps.at(-1)?.instruction?.runtimeAddress === at.runtimeAddress) return [];
  return [{ instruction: at, what: 'is where the boot ends' }];
}

export const positionDependentReference: DeathClass<ReferenceCause, ReferenceSuspicion> = {
  name: NAME,
  looksFor: 'absolute addresses in a boot stub that runs unrelocated',
  observe: recordReferences,
  find,
  words: referenceWords,
  facts,
  suspicionFacts,
};
