// The way in: what a file is decides src/image/classify.ts; here it goes to those who know its kind, and to no rule that is
// about another one.

import { InputError } from '../bits/errors.ts';
import type { FileIdentity } from '../image/classify.ts';
import { type OpenedFile, openFile, originText } from '../image/open.ts';
import { auditBzImage } from './bzImage.ts';
import { auditConfig } from './config.ts';
import { auditElfLayout, saysNotPie } from './header/elfLayout.ts';
import type { AuditInput, AuditOptions } from './options.ts';
import { objectReports } from './objectReports.ts';
import { embeddedConfig } from './payload.ts';
import { auditProgram, programFindings } from './program.ts';
import { split } from './report.ts';
import { auditStub } from './stub/audit.ts';
import { elfStub } from './stub/elf.ts';
import type { AuditReport, Coverage, Finding } from './types.ts';
import { auditUki } from './uki.ts';
import { auditVmlinux } from './vmlinux/audit.ts';

/** Audits one file. Throws an InputError where it is none of the kinds that can be audited, or contradicts itself. */
export function auditFile(bytes: Uint8Array, name: string, options: AuditOptions): AuditReport {
  const [report] = auditFiles([{ name, bytes }], options);
  if (report === undefined) throw new RangeError('one file has one report');
  return report;
}

/**
 * Audits files, a report each, in their order; objects and archives among them are taken as parts of one link. What a
 * link command alone has wrong stands in the first report. Throws an InputError as `auditFile`.
 */
export function auditFiles(inputs: readonly AuditInput[], options: AuditOptions): AuditReport[] {
  const { link } = options;
  const opened = inputs.map((given) => ({ given, opened: openFile(given.bytes) }));
  const objects = opened.flatMap((input): ObjectInput[] =>
    LINKED_LATER.has(input.opened.identity.kind) ? [{ ...input.given, input, bytes: input.opened.bytes }] : [],
  );
  const ofObjects = objectReports(objects, link?.link);
  const reports = opened.map((input) => {
    const object = objects.find((one) => one.input === input);
    return (object && ofObjects.get(object)) ?? auditOpened(input.opened, options);
  });
  const [first, ...rest] = reports;
  if (link === undefined || objects.length > 0 || first === undefined) return reports;
  return [withFindings(first, [...link.findings, ...link.notes]), ...rest];
}

type Opened = { readonly given: AuditInput; readonly opened: OpenedFile };
type ObjectInput = AuditInput & { readonly input: Opened };

const LINKED_LATER: ReadonlySet<FileIdentity['kind']> = new Set(['object', 'archive']);

function withFindings(report: AuditReport, more: readonly Finding[]): AuditReport {
  return { ...report, ...split([...report.findings, ...report.notes, ...more]) };
}

function auditOpened(opened: OpenedFile, options: AuditOptions): AuditReport {
  const { bytes, identity, layers, fileOffset } = opened;
  const inner = auditLinked(bytes, identity, options);
  const origin = originText(layers);
  const report = origin === undefined ? inner : { ...inner, what: `${inner.what}, ${origin}` };
  const placed = fileOffset === 0 ? report : mapFindings(report, (finding) => inOuterFile(finding, fileOffset));
  return withFindings(placed, auditUki(opened));
}

/** Offsets count in the file given; what was unpacked from it has none there. */
function inOuterFile({ fileOffset, ...finding }: Finding, base: number | undefined): Finding {
  if (fileOffset === undefined) return finding;
  if (base !== undefined) return { ...finding, fileOffset: base + fileOffset };
  return { ...finding, place: `${finding.place ?? `offset 0x${fileOffset.toString(16)}`}, in the unpacked file` };
}

const mapFindings = (report: AuditReport, change: (finding: Finding) => Finding): AuditReport => ({
  ...report,
  findings: report.findings.map(change),
  notes: report.notes.map(change),
});

function auditLinked(bytes: Uint8Array, identity: FileIdentity, options: AuditOptions): AuditReport {
  const { kind, bits } = identity;
  switch (kind) {
    case 'bzImage':
    case 'linux-program':
      return auditBzImage(bytes, identity, options);
    case 'vmlinux':
      return bits === 32 ? auditKernel32(bytes, identity, options) : auditKernelFile(bytes, options);
    case 'stub':
      if (bits === 32)
        throw refusal(identity, 'the audit of stubs in ELF files is about 64-bit ones; audit its bzImage');
      return auditStubFile(bytes, options);
    case 'multiboot':
    case 'multiboot2':
    case 'pvh':
      return auditProgram(bytes, identity);
    case 'module':
      throw refusal(identity, 'the kernel that loads it relocates it, and no rule of the audit is about that');
    case 'elf':
    case 'object':
    case 'archive':
    case 'uki':
    case 'other':
    default:
      throw refusal(identity, 'the audit is about kernels, boot stubs, and the object files of a stub');
  }
}

const refusal = ({ what }: FileIdentity, why: string): InputError => new InputError(`this is ${what}; ${why}`);

/** Of a 32-bit kernel's startup code nothing is known; its headers, and the configuration it carries or one given, are judged. */
function auditKernel32(bytes: Uint8Array, identity: FileIdentity, { config }: AuditOptions): AuditReport {
  const known = config ?? embeddedConfig(bytes)?.config;
  const configured = known === undefined ? [] : auditConfig(known);
  const looked =
    known === undefined ? 'its headers were looked at' : 'its headers and its configuration were looked at';
  const what = `${identity.what}; ${looked}, and not its code: the audit knows the startup code of 64-bit kernels`;
  return {
    ...{ kind: 'vmlinux', size: bytes.length, what: what.replace(/^an? /, '') },
    ...split([...programFindings(bytes, identity), ...configured]),
  };
}

/** What reached no code has looked at none, and says so instead of "no findings". */
function checkLookedAt({ followed }: Coverage, what: string): void {
  if (followed[16] + followed[32] + followed[64] === 0) {
    throw new InputError(
      `this is ${what}, and no instruction could be reached from its entry point: nothing was looked at`,
    );
  }
}

function auditKernelFile(bytes: Uint8Array, { symbols, config }: AuditOptions): AuditReport {
  const { what, findings, notes, coverage } = auditVmlinux(bytes, symbols);
  const known = config ?? embeddedConfig(bytes)?.config;
  const configured = known === undefined ? [] : auditConfig(known);
  // Where the entry point itself is wrong, a finding says so.
  if (findings.length === 0) checkLookedAt(coverage, 'a kernel (vmlinux)');
  return { kind: 'vmlinux', size: bytes.length, what, ...split([...findings, ...notes, ...configured]), coverage };
}

function auditStubFile(bytes: Uint8Array, { symbols }: AuditOptions): AuditReport {
  const { program, named } = elfStub(bytes, symbols);
  const { findings, notes, coverage } = auditStub(program, undefined, named);
  checkLookedAt(coverage, 'the ELF file of a boot stub');
  const layout = auditElfLayout(bytes).map((f) => (findings.length === 0 ? withoutHarm(f) : f));
  return {
    kind: 'stub',
    size: bytes.length,
    what: 'the ELF file of a boot stub',
    ...split([...findings, ...notes, ...layout]),
    coverage,
  };
}

/** A stub that lost its -pie and has nothing in it that needs one is no worse for it. */
function withoutHarm(finding: Finding): Finding {
  if (!saysNotPie(finding)) return finding;
  return { ...finding, severity: 'note', reason: `${finding.reason} Here nothing was found that breaks by it.` };
}
