// Findings about a relocation in words.
import { hex } from '../../bits/hex.ts';
import type { Confidence, Finding, Linker, LinkPrediction, LinkResult, Severity } from '../types.ts';
import type { Predicted } from './predict.ts';
import { LINKER_NAMES, LINKERS, TRIED_WITH } from './rules.ts';

/** Where the relocation stands in the file given. */
export interface Origin {
  /** Bytes from the start of the file to the section. */
  readonly sectionOffset: number;
}

/** The linker and output that are known, from a link command. */
export interface KnownLink {
  readonly linker: Linker;
  readonly pie: boolean | 'unknown';
}

const RESULT_WORDS: Readonly<Record<LinkResult, string>> = {
  'pc-relative': 'computed from RIP',
  got: 'through the GOT, its slot a link address',
  'got-relative': 'through the GOT, its slot with R_X86_64_RELATIVE',
  absolute: 'an absolute address',
  'absolute-relative': 'an address with a run-time relocation',
  error: 'refused',
};

/** "trampoline_32bit_src", "foo+0x8"; a section symbol is its section's name. */
function symbolText({ symbol, addend }: LinkPrediction, isPcRelative: boolean): string {
  const name = symbol === '' ? 'no symbol' : symbol;
  // The addend of a field at the end of an instruction makes up for the distance to the next one.
  if (addend === 0n || (isPcRelative && addend === -4n)) return name;
  return `${name}${addend < 0n ? '-' : '+'}${hex(addend < 0n ? -addend : addend)}`;
}

const target = (p: LinkPrediction): string => symbolText(p, !/_(?:32S?|64)$/.test(p.relocation));

const placeText = (p: LinkPrediction): string => `${p.object}, ${p.section}+${hex(p.offset)}`;

const instruction = (p: LinkPrediction): string =>
  p.text === undefined ? 'a word' : `\`${p.text.replace(/\s+/g, ' ')}\``;

const names = (linkers: readonly Linker[]): string => listed(linkers.map((linker) => LINKER_NAMES[linker]));

const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;

/** "GNU ld: computed from RIP with -pie, an absolute address without; gold: ..." */
function decisionText({ results }: LinkPrediction): string {
  return LINKERS.map((linker) => {
    const { pie, noPie } = results[linker];
    const text = pie === noPie ? RESULT_WORDS[pie] : `${RESULT_WORDS[pie]} with -pie, ${RESULT_WORDS[noPie]} without`;
    return `${LINKER_NAMES[linker]}: ${text}`;
  }).join('; ');
}

const triedText = (linkers: readonly Linker[]): string =>
  `As tried with ${listed(linkers.map((linker) => TRIED_WITH[linker]))}.`;

function assumptionText({ prediction, resolution }: Predicted): string {
  return resolution.assumed
    ? ` None of the objects given defines ${prediction.symbol}: it is taken for defined in the output, and not as an absolute number.`
    : '';
}

function common({ prediction, relocation, site }: Predicted, origin: Origin): Partial<Finding> {
  const sign = prediction.addend < 0n ? '-' : '+';
  const addend = hex(prediction.addend < 0n ? -prediction.addend : prediction.addend);
  return {
    fileOffset: origin.sectionOffset + (site?.start ?? relocation.offset),
    ...(site === undefined ? {} : { bytes: site.bytes.slice(), text: prediction.text ?? site.text }),
    place: placeText(prediction),
    relocation: `${prediction.relocation}, ${prediction.symbol}${sign}${addend}`,
    decision: decisionText(prediction),
  };
}

/** A reference that is right with -pie and absolute without. */
export function breaksFinding(predicted: Predicted, origin: Origin, link: KnownLink | undefined): Finding {
  const { prediction } = predicted;
  const linkers = link === undefined ? prediction.breaksWithoutPie : [link.linker];
  const verb = linkers.length === 1 ? 'makes' : 'make';
  const when = link === undefined || link.pie === 'unknown' ? 'without -pie' : 'in this link, which has no -pie,';
  const severity: Severity = link === undefined || link.pie === 'unknown' ? 'warning' : 'error';
  return {
    rule: 'breaks-without-pie',
    severity,
    confidence: 'high',
    message: `${placeText(prediction)}: ${instruction(prediction)} refers to ${target(prediction)} through the GOT; ${when} ${names(linkers)} ${verb} an absolute address of it.`,
    reason: `${triedText(linkers)} The number in the instruction is then the link address, and no run-time relocation is left to tell.${assumptionText(predicted)}`,
    ...common(predicted, origin),
    advice: `Keep -pie in the link.\nOr declare ${prediction.symbol} hidden (a visibility attribute, or the kernel's hidden.h included for every file): compilers then compute its address from RIP. In assembly, lea ${prediction.symbol}(%rip) does.\nOr assemble with -Wa,-mrelax-relocations=no: of R_X86_64_GOTPCREL no linker tried makes an immediate.`,
  };
}

/** A reference that is absolute however it is linked. */
export function absoluteFinding(predicted: Predicted, origin: Origin, link: KnownLink | undefined): Finding {
  const { prediction, site } = predicted;
  const [severity, confidence] = absoluteWeight(predicted, link);
  const data = site === undefined;
  return {
    rule: data ? 'position-dependent-pointer' : 'position-dependent-reference',
    severity,
    confidence,
    message: `${placeText(prediction)}: ${instruction(prediction)} holds the link address of ${target(prediction)} (${prediction.relocation}); it is right only where the stub runs at that address, or where something relocates it first.`,
    reason: `${triedText(link === undefined ? LINKERS : [link.linker])} ${absoluteReason(predicted)}${assumptionText(predicted)}`,
    ...common(predicted, origin),
    advice: data
      ? 'Store a difference (.long symbol - .) and add the place at run time, or relocate the word before it is used.'
      : 'Compile with -fPIE and without -mcmodel=kernel; in assembly, write lea symbol(%rip).',
  };
}

function absoluteReason({ site }: Predicted): string {
  if (site === undefined) return 'It stands in data, or in code that was not recognised as an instruction here.';
  if (site.bits === 32) return 'It stands in 32-bit code, where a register may hold the load address.';
  if (site.based) return 'A register is added to it, which may hold the load address.';
  return 'It stands in 64-bit code, in an instruction that adds no register to it.';
}

function absoluteWeight({ site, prediction }: Predicted, link: KnownLink | undefined): [Severity, Confidence] {
  if (site?.bits === 32) return ['note', 'low'];
  const confidence = site === undefined || site.based ? 'medium' : 'high';
  if (link === undefined || link.pie === 'unknown') return ['warning', confidence];
  const result = prediction.results[link.linker][link.pie ? 'pie' : 'noPie'];
  // A link that refuses tells the user itself.
  if (result === 'error') return ['note', confidence];
  return [result === 'absolute' && confidence === 'high' ? 'error' : 'warning', confidence];
}
