// A proved cause in words: the instruction, the walk back to it, where it comes from, what to do, and the proof.

import { hex, hexBytes } from '../bits/hex.ts';
import type { Cause, Culprit, Step } from '../diagnose/types.ts';
import type { KernelImage } from '../image/image.ts';
import { instructionText, nameText, placeText } from './instruction.ts';
import { BLANK, type Line, paragraph, tableRows } from './lines.ts';
import { proofLines } from './whyProof.ts';

export function causeLines(cause: Cause, image: KernelImage): Line[] {
  const { instruction, steps, explanation, advice, proof } = cause;
  return [
    ...culpritLines(instruction),
    ...arithmeticLines(instruction, cause.proof.boots[0]?.loadAddress, image),
    ...part('The walk back, from the death to the constant:'),
    ...walkLines(steps, instruction),
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
  const moved = loadAddress !== undefined && BigInt(loadAddress) !== bias ? ', to where it had copied itself' : '';
  const name = culprit.target ?? 'what is linked at that address';
  return [
    BLANK,
    paragraph(
      `It holds the link address ${hex(constant)} as a fixed number. But the stub ran ${hex(bias)} above its link address${moved}. There ${name} lies at ${hex(constant)} + ${hex(bias)} = ${hex(constant + bias)}, ${homeText(constant, image)}. ${strayText(constant, loadAddress, image)}`,
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
  return `${hex(constant)} alone is another place of the image as it was loaded, the one of link address ${hex(offset)}.`;
}

/** Steps were taken from the constant on; people ask from the death back. */
function walkLines(steps: readonly Step[], culprit: Culprit): Line[] {
  const seen = new Set<string>();
  const told = steps.filter(({ what }) => !seen.has(what) && seen.add(what));
  return [...told].reverse().flatMap((step) => stepLines(step, culprit));
}

function stepLines({ instruction, what }: Step, culprit: Culprit): Line[] {
  if (instruction === undefined) return [{ text: what, indent: 4 }];
  const name = nameText(instruction);
  const place = `${placeText(instruction)}`;
  const text =
    instruction === culprit ? `makes that address, from the constant ${hex(culprit.constant)} in its own bytes` : what;
  void name;
  return [
    { text: `${place}  ${instructionText(instruction)}`, indent: 4, whole: true },
    { text, indent: 8, tone: 'plain' },
  ];
}

function repairLines({ instruction, repair }: Cause): Line[] {
  return table([
    ['as given', hexBytes(instruction.bytes), instructionText(instruction)],
    ['repaired', hexBytes(repair.bytes), instructionText(repair)],
  ]);
}
