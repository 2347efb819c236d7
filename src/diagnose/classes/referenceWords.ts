// A proved cause in words: the instruction, the walk back to it, where it comes from, what to do, and the proof.

import { hex, hexBytes } from '../../bits/hex.ts';
import type {
  Culprit,
  Evidence,
  InstructionAt,
  Proof,
  ReferenceCause,
  ReferenceSuspicion,
  RepairedInstruction,
} from '../types.ts';
import { type KernelImage, stubOf } from '../../image/image.ts';
import { firstExceptionText } from '../../run/chain.ts';
import { instructionText, nameText, placeText } from '../instructionText.ts';
import { BLANK, type Line, paragraph, tableRows } from '../../bits/lines.ts';
import type { DeathClass } from './class.ts';
import { proofLines } from './proofWords.ts';
import { STUB_RUNS_ELSEWHERE } from '../../words/link.ts';

const SUMMARY = `it names memory by a fixed address, which is right only where the boot stub was linked, and the ${STUB_RUNS_ELSEWHERE}.`;

function causeLines(cause: ReferenceCause, image: KernelImage): Line[] {
  const { instruction, explanation, advice, proof } = cause;
  return [
    paragraph(`The instruction at offset ${hex(instruction.fileOffset)} of the file: ${SUMMARY}`, 'bad'),
    BLANK,
    ...culpritLines(instruction),
    ...arithmeticLines(instruction, cause.proof.boots[0]?.loadAddress, image),
    ...othersLines(cause),
    ...part('The walk back, from the death to the constant:'),
    ...walkLines(cause),
    ...part('Where it comes from:'),
    ...texts(explanation),
    ...part('What to do:'),
    ...texts(advice),
    ...part(`Proof: the same boot with ${rewrittenText(cause)} rewritten in memory, everything else the same.`),
    ...repairLines(cause),
    ...proofLines(proof),
  ];
}

const part = (text: string): Line[] => [BLANK, paragraph(text, 'heading')];
const texts = (text: string): Line[] => text.split('\n').map((line) => ({ text: line, indent: 4 }));
const table = (rows: readonly (readonly string[])[]): Line[] =>
  tableRows(rows).map((text) => ({ text, indent: 4, whole: true }));

function culpritLines(culprit: Culprit): Line[] {
  const { fileOffset, linkAddress, runtimeAddress, bytes, symbol, target } = culprit;
  const named = (name: string | undefined): string => (name === undefined ? '' : `  ${name}`);
  return table([
    ['instruction', instructionText(culprit) + (target === undefined ? '' : `      # ${target}`)],
    ['bytes', hexBytes(bytes)],
    ['in the file at', `offset ${hex(fileOffset)}`],
    ['linked at', `${hex(linkAddress)}${named(symbol)}`],
    ['ran at', hex(runtimeAddress)],
  ]);
}

/** Constant and load bias: where the constant points, and where it should. */
function arithmeticLines(culprit: Culprit, loadAddress: number | undefined, image: KernelImage): Line[] {
  const { constant, bias } = culprit;
  const moved = loadAddress !== undefined && BigInt(loadAddress) !== bias ? ', where it had moved itself' : '';
  const name = culprit.target ?? 'what is meant';
  return [
    BLANK,
    paragraph(
      `It holds ${hex(constant)}, a link address, and the stub ran ${hex(bias)} above its link address${moved}. So ${name} lies at ${hex(constant)} + ${hex(bias)} = ${hex(constant + bias)}, ${homeText(constant, moved !== '', image)}. ${strayText(constant, loadAddress, image)}`,
    ),
  ];
}

function homeText(constant: bigint, moved: boolean, image: KernelImage): string {
  const stub = stubOf(image);
  if (stub && constant >= BigInt(stub.protectedMode.size)) return "in the stub's .bss";
  return moved ? 'in the image where it runs' : 'in the loaded image';
}

/** What the constant alone hits. */
function strayText(constant: bigint, loadAddress: number | undefined, image: KernelImage): string {
  const offset = constant - BigInt(loadAddress ?? 0);
  const size = stubOf(image)?.protectedMode.size ?? 0;
  if (offset < 0n || offset >= BigInt(size)) return `${hex(constant)} alone lies outside the image.`;
  return `${hex(constant)} alone is another place in the image as it was loaded: link address ${hex(offset)}.`;
}

/** Steps were taken from the constant on; people ask from the death back. */
function walkLines(cause: ReferenceCause): Line[] {
  const end = cause.evidence.at === undefined ? endOf(cause.evidence) : [];
  return [...end, ...placesOf(cause).reverse().flatMap(placeLines)];
}

/** An instruction on the way, and all that it does there. */
type Place = { readonly instruction: InstructionAt; readonly does: string[] };

function placesOf({ steps, instruction: culprit }: ReferenceCause): Place[] {
  const made = `makes that address, from the constant ${hex(culprit.constant)} in its own bytes`;
  const places: Place[] = [{ instruction: culprit, does: [made] }];
  const seen = new Set<string>();
  // The first step is the culprit's constant.
  for (const { instruction, what } of steps.slice(1)) {
    if (instruction === undefined || seen.has(what)) continue;
    seen.add(what);
    const here = places.find((place) => place.instruction.runtimeAddress === instruction.runtimeAddress);
    if (here) here.does.push(what);
    else places.push({ instruction, does: [what] });
  }
  return places;
}

/** Where nothing can be fetched any more there is no step for it. */
function endOf({ outcome }: Evidence): Line[] {
  if (outcome.kind !== 'triple-fault') return [];
  return [{ text: `${firstExceptionText(outcome.chain)}, where the boot ends`, indent: 4 }];
}

const placeLines = ({ instruction, does }: Place): Line[] => [
  { text: `${placeText(instruction)}  ${instructionText(instruction)}`, indent: 4, whole: true },
  ...does.map((text): Line => ({ text, indent: 8 })),
];

const rewrittenText = ({ others }: ReferenceCause): string =>
  others.length === 0 ? 'that one instruction' : `these ${others.length + 1} instructions`;

/** The others that a set of instructions has to be repaired with. */
function othersLines({ others }: ReferenceCause): Line[] {
  if (others.length === 0) return [];
  const rows = others.map(({ instruction: at }) => [
    `offset ${hex(at.fileOffset)}`,
    `${hex(at.linkAddress)}${at.symbol === undefined ? '' : `  ${at.symbol}`}`,
    instructionText(at) + (at.target === undefined ? '' : `      # ${at.target}`),
  ]);
  const one = others.length === 1;
  return [
    BLANK,
    paragraph(
      `It is not alone: ${one ? 'one more instruction holds' : `${others.length} more instructions hold`} such an address. ${one ? 'Both' : 'All of them'} were rewritten together: what follows proves the set, not each of them.`,
    ),
    BLANK,
    ...table([['in the file at', 'linked at', 'instruction'], ...rows]),
  ];
}

function repairLines({ instruction, repair, others }: ReferenceCause): Line[] {
  const rows = table([
    ['as given', hexBytes(instruction.bytes), instructionText(instruction)],
    ['repaired', hexBytes(repair.bytes), instructionText(repair)],
  ]);
  const rest = others.map((other) => other.repair);
  return [...rows, ...[...ownRepair(repair), ...otherRepairs(rest)].flatMap(texts)];
}

const ownRepair = ({ everywhere }: RepairedInstruction): string[] =>
  everywhere
    ? []
    : [
        'No position-independent instruction has the same length, so the right address was put in, for each load address its own.',
      ];

function otherRepairs(others: readonly RepairedInstruction[]): string[] {
  if (others.length === 0) return [];
  const relative = others.filter(({ everywhere }) => everywhere).length;
  if (relative === others.length) return ['The others were made position-independent too, of the same target.'];
  const fixed = others.length - relative;
  if (relative === 0) return ['In the others the right address was put in, for each load address its own.'];
  return [
    `Of the others ${relative} were made position-independent, of the same target; in ${fixed} the right address was put in, for each load address its own.`,
  ];
}

function suspicionLines({ instruction, others, proof }: ReferenceSuspicion): Line[] {
  const name = nameText(instruction);
  const more =
    others.length === 0
      ? ''
      : `, and ${others.length} more ${others.length === 1 ? 'instruction does' : 'instructions do'} too`;
  return [
    paragraph(
      `\`${instructionText(instruction)}\` at file offset ${hex(instruction.fileOffset)}${name ? ` (${name})` : ''} holds an address of the stub as a fixed number${more}. ${doubtText(proof)}, so ${others.length === 0 ? 'it is' : 'they are'} not called the cause:`,
    ),
    ...proofLines(proof),
  ];
}

/** Why a proof was not one. */
function doubtText({ boots, controls, counterCheck }: Proof): string {
  if (boots.some(({ passed }) => !passed)) return 'Rewriting helped in some boots and not in others';
  if (controls.some(({ boot }) => boot.passed)) return 'Rewriting helped, but so did another wrong value';
  if (controls.length === 0)
    return 'Rewriting helped, but no other wrong value fits there, to see that it does not help';
  if (counterCheck.verdict === 'failed')
    return 'Rewriting helped, but as given the boot passes not even where the address is right';
  return 'Rewriting helped, but at too few load addresses to tell it from chance';
}

const placeLine = ({ instruction: at }: ReferenceCause | ReferenceSuspicion): string =>
  `${instructionText(at)} at file offset ${hex(at.fileOffset)}${at.symbol ? ` in ${at.symbol}` : ''}${at.target ? `, address of ${at.target}` : ''}`;

const isCause = (found: ReferenceCause | ReferenceSuspicion): found is ReferenceCause => 'repair' in found;

function placeOfAll(found: ReferenceCause | ReferenceSuspicion): string {
  const more = isCause(found) && found.others.length > 0 ? `, and ${found.others.length} more together with it` : '';
  return `${placeLine(found)}${more}`;
}

function allRepaired(causes: readonly ReferenceCause[]): string {
  const instructions = causes.reduce((sum, { others }) => sum + 1 + others.length, 0);
  return `${instructions === 1 ? 'that one instruction' : `these ${instructions} instructions`} rewritten in memory`;
}

export const referenceWords: DeathClass<ReferenceCause, ReferenceSuspicion>['words'] = {
  title: 'POSITION-DEPENDENT REFERENCE',
  cause: causeLines,
  place: placeOfAll,
  repaired: 'the instruction below rewritten',
  allRepaired,
  suspicion: suspicionLines,
};
