// What the linkers will make of each relocation of an object file: the instruction around it and the symbol it names,
// looked up in rules.ts. Nothing is linked.
import type { ElfSection } from '../../image/elf.ts';
import {
  type ObjectFile,
  type ObjectRelocation,
  objectSectionBytes,
  SHF_ALLOC,
  SHF_WRITE,
} from '../../image/object.ts';
import { type RelocationName, relocationName, relocationText } from '../../image/relocationTypes.ts';
import type { Linker, LinkPrediction } from '../types.ts';
import { type Resolution, type Scope, scopeOf } from './resolve.ts';
import { LINKERS, linkOutcomes, type LinkOutcomes, type LinkVariant, type ReferenceForm } from './rules.ts';
import { type Site, sitesOf } from './site.ts';

const PREDICTED: ReadonlySet<RelocationName> = new Set([
  'GOTPCRELX',
  'REX_GOTPCRELX',
  'GOTPCREL',
  'PC32',
  'PLT32',
  '32',
  '32S',
  '64',
]);

/** Sections that linkers rewrite or drop by themselves. */
const REWRITTEN = /^\.(?:eh_frame|note|stab)/;

/** Whether a relocation is in a section that is loaded as it is. */
export function isLoaded(object: ObjectFile, relocation: ObjectRelocation): boolean {
  const section = object.sections[relocation.section];
  return section !== undefined && (section.flags & SHF_ALLOC) !== 0n && !REWRITTEN.test(section.name);
}

/** Whether something is said of a relocation: a type of PREDICTED, in a section that is loaded. */
export function isPredicted(object: ObjectFile, relocation: ObjectRelocation): boolean {
  const name = relocationName(relocation.type);
  return name !== undefined && PREDICTED.has(name) && isLoaded(object, relocation);
}

/** A prediction, and what it was made from. */
export interface Predicted {
  readonly prediction: LinkPrediction;
  readonly relocation: ObjectRelocation;
  readonly resolution: Resolution;
  readonly site: Site | undefined;
}

export interface PredictOptions extends Partial<LinkVariant> {
  /** The object as messages name it. */
  readonly name?: string;
  /** The objects linked together; default: this one alone. */
  readonly scope?: Scope;
  /** Symbols for which mold keeps a GOT slot, from `moldSlots` of all objects linked together; default: of this one. */
  readonly moldSlots?: ReadonlySet<string>;
}

/** What the linkers make of each relocation of types GOTPCREL(X), PC32, PLT32, 32, 32S and 64 in a loaded section. */
export const predictLinks = (object: ObjectFile, options: PredictOptions = {}): LinkPrediction[] =>
  predictObject(object, options).map(({ prediction }) => prediction);

export function predictObject(object: ObjectFile, options: PredictOptions = {}): Predicted[] {
  const scope = options.scope ?? scopeOf([object]);
  const slots = options.moldSlots ?? moldSlots(object, scope);
  const variant = { relax: options.relax ?? true, noRelocOverflow: options.noRelocOverflow ?? false };
  const sites = sitesOf(object);
  return references(object, scope).map(({ relocation, resolution, form }) => {
    const site = sites.get(relocation);
    const alone = linkOutcomes(form, resolution.class, variant);
    const results = slots.has(resolution.key) ? withMoldSlot(form, resolution, alone, variant) : alone;
    const symbol = object.symbols[relocation.symbol]?.name ?? '';
    const prediction: LinkPrediction = {
      object: options.name ?? 'the object file',
      section: object.sections[relocation.section]?.name ?? '',
      offset: BigInt(relocation.offset),
      relocation: relocationText(relocation.type),
      symbol,
      addend: relocation.addend,
      ...(site === undefined ? {} : { text: namedText(site.text, symbol, relocation) }),
      results,
      breaksWithoutPie: moves(resolution) ? breakingLinkers(results) : [],
    };
    return { prediction, relocation, resolution, site };
  });
}

/** A GOT operand as the source has it: the field itself holds 0. */
const namedText = (text: string, symbol: string, { type }: ObjectRelocation): string =>
  relocationText(type).includes('GOTPCREL')
    ? text.replace(/(?:-?0x[0-9a-f]+)?\(%rip\)/, () => `${symbol}@GOTPCREL(%rip)`)
    : text;

interface Reference {
  readonly relocation: ObjectRelocation;
  readonly resolution: Resolution;
  readonly form: ReferenceForm;
}

function references(object: ObjectFile, scope: Scope): Reference[] {
  const found: Reference[] = [];
  for (const relocation of object.relocations) {
    if (!isPredicted(object, relocation)) continue;
    const resolution = scope.resolve(object, relocation.symbol);
    if (resolution === undefined) continue;
    const section = object.sections[relocation.section]!;
    const form = formOf(relocation, section, objectSectionBytes(object, section));
    found.push({ relocation, resolution, form });
  }
  return found;
}

/**
 * Symbols whose GOT slot mold needs for some reference of this object: then it leaves every reference to them in the link
 * through that slot, those too that it would have relaxed.
 */
export function moldSlots(object: ObjectFile, scope: Scope): Set<string> {
  const slots = new Set<string>();
  for (const { resolution, form } of references(object, scope)) {
    if (!form.startsWith('got')) continue;
    const { mold } = linkOutcomes(form, resolution.class, { relax: true, noRelocOverflow: false });
    if (mold.noPie === 'got') slots.add(resolution.key);
  }
  return slots;
}

function withMoldSlot(
  form: ReferenceForm,
  { class: symbol }: Resolution,
  alone: LinkOutcomes,
  variant: LinkVariant,
): LinkOutcomes {
  return form.startsWith('got-') && form !== 'got-addend'
    ? { ...alone, mold: linkOutcomes('got', symbol, variant).mold }
    : alone;
}

function formOf(relocation: ObjectRelocation, section: ElfSection, bytes: Uint8Array): ReferenceForm {
  const writable = (section.flags & SHF_WRITE) !== 0n;
  const name = relocationName(relocation.type);
  if (name === 'PC32') return writable ? 'pc32-writable' : 'pc32';
  if (name === 'PLT32') return 'plt32';
  if (name === '64') return writable ? 'abs64-writable' : 'abs64';
  if (name === '32') return writable ? 'abs32-writable' : 'abs32';
  if (name === '32S') return writable ? 'abs32s-writable' : 'abs32s';
  return gotForm(bytes, relocation);
}

function gotForm(bytes: Uint8Array, relocation: ObjectRelocation): ReferenceForm {
  const name = relocationName(relocation.type);
  const relaxable = name !== 'GOTPCREL';
  if (relocation.addend !== -4n) return relaxable ? 'got-addend' : 'got';
  const { opcode, rexW } = opcodeBefore(bytes, relocation.offset);
  if (opcode === 'mov' && !relaxable) return 'got-mov-type9';
  if (opcode === 'mov') return name === 'REX_GOTPCRELX' && rexW ? 'got-mov-rexw' : 'got-mov';
  if (opcode === 'alu' && relaxable) return name === 'REX_GOTPCRELX' ? 'got-alu-rex' : 'got-alu';
  return opcode === 'branch' && relaxable ? 'got-branch' : 'got';
}

interface Opcode {
  readonly opcode: 'mov' | 'alu' | 'branch' | 'other';
  readonly rexW: boolean;
}

/** Opcode, ModRM and REX just before the field, as linkers read them: whether an instruction stands there or not. */
function opcodeBefore(bytes: Uint8Array, offset: number): Opcode {
  const [opcode, modRm, rex] = [bytes[offset - 2], bytes[offset - 1], bytes[offset - 3] ?? 0];
  const rexW = (rex & 0xf8) === 0x48;
  if (opcode === undefined || modRm === undefined || (modRm & 0xc7) !== 0x05) return { opcode: 'other', rexW };
  return { opcode: opcodeKind(opcode, (modRm >> 3) & 7), rexW };
}

function opcodeKind(opcode: number, extension: number): Opcode['opcode'] {
  if (opcode === 0x8b) return 'mov';
  // test, and op r,r/m of the eight arithmetic instructions.
  if (opcode === 0x85 || (opcode & 0xc7) === 0x03) return 'alu';
  return opcode === 0xff && (extension === 2 || extension === 4) ? 'branch' : 'other';
}

/** Whether the symbol's address moves with the image: for the others a number in the instruction is right. */
export const moves = ({ class: symbol }: Resolution): boolean =>
  !['absolute', 'local-absolute', 'no-symbol', 'weak-undefined', 'weak-undefined-hidden'].includes(symbol);

const breakingLinkers = (results: LinkOutcomes): Linker[] =>
  LINKERS.filter((linker) => results[linker].noPie === 'absolute' && SOUND.has(results[linker].pie));

/** With -pie the instruction finds its address wherever the image runs, given that somebody relocates the GOT. */
const SOUND: ReadonlySet<string> = new Set(['pc-relative', 'got', 'got-relative']);
