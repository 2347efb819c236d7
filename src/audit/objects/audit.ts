// The audit of object files and archives of the stub: which references a link makes position-dependent, and which are so
// already. predict.ts says what each linker makes of a relocation; this says what of that is worth a finding.
import { InputError } from '../../bits/errors.ts';
import { isArchive, parseArchive } from '../../image/archive.ts';
import { isObject, type ObjectFile, type ObjectRelocation, parseObject } from '../../image/object.ts';
import { relocationText } from '../../image/relocationTypes.ts';
import type { Finding, LinkPrediction, RuleId } from '../types.ts';
import { type LinkCommand, linkFindings } from './linkCommand.ts';
import {
  isLoaded,
  isPredicted,
  moldSlots,
  moves,
  type PredictOptions,
  type Predicted,
  predictObject,
} from './predict.ts';
import { type Scope, scopeOf } from './resolve.ts';
import { LINKER_NAMES } from './rules.ts';
import { absoluteFinding, breaksFinding } from './words.ts';

export { auditLinkCommand, type LinkAudit, type LinkCommand } from './linkCommand.ts';

export interface ObjectInput {
  /** As messages name it. */
  readonly name: string;
  /** An object file or an ar archive of object files. */
  readonly bytes: Uint8Array;
  /** Of a thin archive: its members, by the names it gives them. */
  readonly members?: ReadonlyMap<string, Uint8Array>;
}

export interface ObjectAudit {
  readonly findings: readonly Finding[];
  readonly notes: readonly Finding[];
  readonly predictions: readonly LinkPrediction[];
}

/** Findings and notes of one rule in a report; more of them are counted in a note. */
const MOST_FINDINGS = 1000;
/** Predictions in a report; findings are made of all of them. */
const MOST_PREDICTIONS = 100_000;

export const auditObject = (bytes: Uint8Array, name: string, link?: LinkCommand): ObjectAudit =>
  auditObjects([{ name, bytes }], link);

/** @param name the archive, as the names of its members are prefixed with: "lib.a(string.o)" */
export const auditArchive = (bytes: Uint8Array, name = '', link?: LinkCommand): ObjectAudit =>
  auditObjects([{ name, bytes }], link);

/**
 * Audits objects and archives that are linked together: a symbol one of them defines is what the others refer to.
 * With a link command only that linker and output count, and what is lost of its flags is among the findings.
 * Throws an InputError where a file is no object or archive, or contradicts itself. fileOffset counts from the start of
 * the input that the object came from.
 */
export function auditObjects(inputs: readonly ObjectInput[], link?: LinkCommand): ObjectAudit {
  const notes: Finding[] = [];
  const members = inputs.flatMap((input) => membersOf(input, notes));
  const scope = scopeOf(members.map(({ object }) => object));
  const slots = new Set(members.flatMap(({ object }) => [...moldSlots(object, scope)]));
  const audit: Collected = {
    findings: [],
    notes,
    predictions: [],
    counts: new Map(),
    unjudged: new Map(),
    left: 0,
    broken: 0,
    absolute: 0,
    predicted: 0,
  };
  for (const member of members) auditMember(audit, member, { scope, moldSlots: slots, ...variantOf(link) }, link);
  return finish(audit, members.length, link);
}

const variantOf = (link: LinkCommand | undefined): Pick<PredictOptions, 'relax' | 'noRelocOverflow'> =>
  link === undefined ? {} : { relax: link.relax, noRelocOverflow: link.noRelocOverflow };

type MemberOptions = PredictOptions & { readonly scope: Scope };

interface Member {
  readonly name: string;
  readonly object: ObjectFile;
  /** Where it begins in the input. */
  readonly fileOffset: number;
}

interface Collected {
  readonly findings: Finding[];
  readonly notes: Finding[];
  readonly predictions: LinkPrediction[];
  readonly counts: Map<RuleId, number>;
  /** Relocations of types that are not judged, by type. */
  readonly unjudged: Map<number, number>;
  /** Findings that were counted only. */
  left: number;
  /** References that the link known makes absolute and -pie would not. */
  broken: number;
  /** References that are absolute however they are linked. */
  absolute: number;
  predicted: number;
}

function membersOf({ name, bytes, members: files }: ObjectInput, notes: Finding[]): Member[] {
  if (!isArchive(bytes)) return [{ name, object: parseObject(bytes, name), fileOffset: 0 }];
  const members: Member[] = [];
  for (const member of parseArchive(bytes, files)) {
    const full = name === '' ? member.name : `${name}(${member.name})`;
    if (isObject(member.bytes))
      members.push({ name: full, object: parseObject(member.bytes, full), fileOffset: member.fileOffset });
    else
      note(
        notes,
        'elf-layout',
        `${full} is no object file and was not looked at.`,
        'It does not begin as an ELF file of type ET_REL.',
      );
  }
  if (members.length === 0) throw new InputError(`${name === '' ? 'the archive' : name} holds no object files`);
  return members;
}

function note(notes: Finding[], rule: Finding['rule'], message: string, reason: string): void {
  if (notes.length < MOST_FINDINGS) notes.push({ rule, severity: 'note', confidence: 'high', message, reason });
}

function auditMember(audit: Collected, member: Member, options: MemberOptions, link: LinkCommand | undefined): void {
  const kept: Predicted[] = [];
  for (const predicted of predictObject(member.object, { ...options, name: member.name })) {
    audit.predicted++;
    if (audit.predictions.length < MOST_PREDICTIONS) audit.predictions.push(predicted.prediction);
    if (isKept(predicted, link)) kept.push(predicted);
    else enter(audit, findingOf(predicted, member, link));
  }
  keptNote(audit.notes, member, kept, link);
  countUnjudged(audit, member, options.scope);
  ltoNote(audit.notes, member);
}

/** Whether the link known keeps a reference right that some link without -pie would break. */
const isKept = ({ prediction }: Predicted, link: LinkCommand | undefined): boolean =>
  link !== undefined &&
  prediction.breaksWithoutPie.length > 0 &&
  (link.pie === true || !prediction.breaksWithoutPie.includes(link.linker));

function enter(audit: Collected, finding: Finding | undefined): void {
  if (finding === undefined) return;
  const count = (audit.counts.get(finding.rule) ?? 0) + 1;
  audit.counts.set(finding.rule, count);
  if (finding.rule === 'breaks-without-pie') audit.broken++;
  else if (finding.severity !== 'note') audit.absolute++;
  if (count > MOST_FINDINGS) audit.left++;
  else if (finding.severity === 'note') audit.notes.push(finding);
  else audit.findings.push(finding);
}

function findingOf(predicted: Predicted, member: Member, link: LinkCommand | undefined): Finding | undefined {
  const { prediction, relocation, resolution } = predicted;
  const section = member.object.sections[relocation.section];
  const origin = { sectionOffset: member.fileOffset + (section?.fileOffset ?? 0) };
  if (prediction.breaksWithoutPie.length > 0) return breaksFinding(predicted, origin, link);
  const absolute = /_(?:32S?|64)$/.test(prediction.relocation) && moves(resolution);
  return absolute ? absoluteFinding(predicted, origin, link) : undefined;
}

function keptNote(notes: Finding[], { name }: Member, kept: readonly Predicted[], link: LinkCommand | undefined): void {
  if (kept.length === 0 || link === undefined) return;
  const symbols = [...new Set(kept.map(({ prediction }) => prediction.symbol))];
  const some = symbols.slice(0, 5).join(', ') + (symbols.length > 5 ? ` and ${symbols.length - 5} more` : '');
  const references = kept.length === 1 ? 'One reference' : `${kept.length} references`;
  const why =
    link.pie === true ? 'this link has -pie' : `${LINKER_NAMES[link.linker]} does not make immediates of them`;
  note(
    notes,
    'breaks-without-pie',
    `${name}: ${references} (${some}) would become absolute in another link without -pie; ${why}.`,
    `The link command is taken as given, line ${link.line}.`,
  );
}

function countUnjudged({ unjudged }: Collected, { object }: Member, scope: Scope): void {
  for (const relocation of object.relocations)
    if (isLoaded(object, relocation) && !isJudged(object, relocation, scope))
      unjudged.set(relocation.type, (unjudged.get(relocation.type) ?? 0) + 1);
}

/** IFUNC and thread-local symbols have no address of the plain kind. */
const isJudged = (object: ObjectFile, relocation: ObjectRelocation, scope: Scope): boolean =>
  isPredicted(object, relocation) && scope.resolve(object, relocation.symbol) !== undefined;

function unjudgedNote({ unjudged, notes }: Collected): void {
  if (unjudged.size === 0) return;
  const types = [...unjudged].sort(([, a], [, b]) => b - a);
  const list = types.slice(0, 8).map(([type, count]) => `${relocationText(type)} (${count})`);
  const rest = types.length > 8 ? ` and ${types.length - 8} more types` : '';
  const reason =
    'Only plain references to the address of a symbol are: no thread-local and IFUNC symbols, no distances from the GOT.';
  note(notes, 'elf-layout', `Some relocations were not judged: ${list.join(', ')}${rest}.`, reason);
}

function ltoNote(notes: Finding[], { name, object }: Member): void {
  if (!object.sections.some((section) => section.name.startsWith('.gnu.lto_'))) return;
  note(
    notes,
    'elf-layout',
    `${name} holds code of -flto, which is made anew when linking; what is said of it need not hold.`,
    'It has .gnu.lto_ sections.',
  );
}

function finish(audit: Collected, count: number, link: LinkCommand | undefined): ObjectAudit {
  const { findings, notes, predictions, left, broken, absolute, predicted } = audit;
  unjudgedNote(audit);
  findings.sort((a, b) => rank(a) - rank(b));
  if (left > 0) notes.push(more(`${left} more findings were counted, but are not listed.`));
  if (predicted > predictions.length)
    notes.push(more(`${predicted - predictions.length} more relocations were judged, but are not listed.`));
  if (link === undefined) return { findings, notes, predictions };
  const flags = linkFindings(link, { count, broken, absolute });
  return { findings: [...flags.findings, ...findings], notes: [...flags.notes, ...notes], predictions };
}

/** Errors first, then the most certain. */
const rank = ({ severity, confidence }: Finding): number =>
  (severity === 'error' ? 0 : 3) + ['high', 'medium', 'low'].indexOf(confidence);

const more = (message: string): Finding => ({
  rule: 'elf-layout',
  severity: 'note',
  confidence: 'high',
  message,
  reason: 'A report is bounded.',
});
