// The way in: tells what a file is, and has it audited by those who know its kind.

import { readerOf } from '../bits/cursor.ts';
import { isArchive } from '../image/archive.ts';
import { checkElfHeader, isElf } from '../image/elf.ts';
import { isObject } from '../image/object.ts';
import { auditBzImage } from './bzImage.ts';
import { auditConfig } from './config.ts';
import { auditElfLayout, saysNotPie } from './header/elfLayout.ts';
import type { AuditInput, AuditOptions } from './options.ts';
import { objectReports } from './objectReports.ts';
import { embeddedConfig } from './payload.ts';
import { split } from './report.ts';
import { auditStub } from './stub/audit.ts';
import { elfStub, isKernel, refuseProgram } from './stub/elf.ts';
import type { AuditReport, Finding } from './types.ts';
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
  const objects = inputs.filter(({ bytes }) => isArchive(bytes) || isObject(bytes));
  const ofObjects = objectReports(objects, link?.link);
  const reports = inputs.map((input) => ofObjects.get(input) ?? auditLinked(input.bytes, options));
  const [first, ...rest] = reports;
  if (link === undefined || objects.length > 0 || first === undefined) return reports;
  return [withFindings(first, [...link.findings, ...link.notes]), ...rest];
}

function withFindings(report: AuditReport, more: readonly Finding[]): AuditReport {
  return { ...report, ...split([...report.findings, ...report.notes, ...more]) };
}

function auditLinked(bytes: Uint8Array, options: AuditOptions): AuditReport {
  if (!isElf(bytes)) return auditBzImage(bytes, options);
  checkElfHeader(readerOf(bytes, 'the ELF file'));
  refuseProgram(bytes);
  return isKernel(bytes) ? auditKernelFile(bytes, options) : auditStubFile(bytes, options);
}

function auditKernelFile(bytes: Uint8Array, { symbols, config }: AuditOptions): AuditReport {
  const { what, findings, notes, coverage } = auditVmlinux(bytes, symbols);
  const known = config ?? embeddedConfig(bytes)?.config;
  const configured = known === undefined ? [] : auditConfig(known);
  return { kind: 'vmlinux', size: bytes.length, what, ...split([...findings, ...notes, ...configured]), coverage };
}

function auditStubFile(bytes: Uint8Array, { symbols }: AuditOptions): AuditReport {
  const { program, named } = elfStub(bytes, symbols);
  const { findings, notes, coverage } = auditStub(program, undefined, named);
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
