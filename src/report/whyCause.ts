// A proved cause in words: the instruction, the walk back to it, where it comes from, what to do, and the proof.

import { hex, hexBytes } from '../bits/hex.ts';
import type { Cause, Culprit, Evidence, Step } from '../diagnose/types.ts';
import type { KernelImage } from '../image/image.ts';
import { firstExceptionText } from './chain.ts';
import { instructionText, placeText } from './instruction.ts';
import { BLANK, type Line, paragraph, tableRows } from './lines.ts';
import { proofLines } from './whyProof.ts';

const SUMMARY =
  'it names memory by a fixed address, which is right only where the boot stub was linked, and the stub runs elsewhere.';

export function causeLines(cause: Cause, image: KernelImage): Line[] {
  const { instruction, explanation, advice, proof } = cause;
  return [
    paragraph(`The instruction at offset ${hex(instruction.fileOffset)} of the file: ${SUMMARY}`, 'bad'),
    BLANK,
    ...culpritLines(instruction),
    ...arithmeticLines(instruction, cause.proof.boots[0]?.loadAddress, image),
    ...part('The walk back, from the death to the constant:'),
    ...walkLines(cause),
    ...part('Where it comes from:'),
    ...texts(explanation),
    ...part('What to do:'),
    ...texts(advice),
    ...part('Proof: the same boot with that one instruction rewritten in memory, everything else the same.'),
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
      `It holds ${hex(constant)}, a link address, and the stub ran ${hex(bias)} above its link address${moved}. So ${name} lies at ${hex(constant)} + ${hex(bias)} = ${hex(constant + bias)}, ${homeText(constant, image)}. ${strayText(constant, loadAddress, image)}`,
    ),
  ];
}

function homeText(constant: bigint, image: KernelImage): string {
  if (image.kind === 'bzImage' && constant >= BigInt(image.protectedMode.size)) return "in the stub's .bss";
  return 'in the loaded image';
}

/** What the constant alone hits. */
function strayText(constant: bigint, loadAddress: number | undefined, image: KernelImage): string {
  const offset = constant - BigInt(loadAddress ?? 0);
  const size = image.kind === 'bzImage' ? image.protectedMode.size : 0;
  if (offset < 0n || offset >= BigInt(size)) return `${hex(constant)} alone lies outside it.`;
  return `${hex(constant)} alone lies in it too, but at another place: link address ${hex(offset)}.`;
}

/** Steps were taken from the constant on; people ask from the death back. */
function walkLines({ steps, instruction: culprit, evidence }: Cause): Line[] {
  const seen = new Set<string>();
  const told = steps.filter(({ what }) => !seen.has(what) && seen.add(what));
  const [made, next, ...later] = told;
  // What the culprit does itself, as a compare does, says more than that it has a constant.
  const itself = next?.instruction?.runtimeAddress === culprit.runtimeAddress;
  const way = [...(made && !itself ? [made] : []), ...(next ? [next] : []), ...later].reverse();
  const end = evidence.at === undefined ? endOf(evidence) : [];
  return [...end, ...way.flatMap((step) => stepLines(step, culprit))];
}

/** Where nothing can be fetched any more there is no step for it. */
function endOf({ outcome }: Evidence): Line[] {
  if (outcome.kind !== 'triple-fault') return [];
  return [{ text: `${firstExceptionText(outcome.chain)}, where the boot ends`, indent: 4 }];
}

function stepLines({ instruction, what }: Step, culprit: Culprit): Line[] {
  if (instruction === undefined) return [{ text: what, indent: 4 }];
  const text =
    instruction === culprit ? `makes that address, from the constant ${hex(culprit.constant)} in its own bytes` : what;
  return [
    { text: `${placeText(instruction)}  ${instructionText(instruction)}`, indent: 4, whole: true },
    { text, indent: 8 },
  ];
}

function repairLines({ instruction, repair }: Cause): Line[] {
  const rows = table([
    ['as given', hexBytes(instruction.bytes), instructionText(instruction)],
    ['repaired', hexBytes(repair.bytes), instructionText(repair)],
  ]);
  if (repair.text.startsWith('lea')) return rows;
  const text =
    'No position-independent instruction has the same length, so the right address was put in, for each load address its own.';
  return [...rows, { text, indent: 4 }];
}
