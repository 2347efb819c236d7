// The audit of a bzImage: header, code of the stub, configuration, and on request the kernel packed inside.

import { InputError } from '../bits/errors.ts';
import { findCode } from '../code/codeMap.ts';
import { programOfBzImage, programOfSetup } from '../code/program.ts';
import { type BzImage, type Payload, parseBzImage, protocolText } from '../image/bzimage.ts';
import type { AuditOptions } from './options.ts';
import { auditConfig, configFactsOf } from './config.ts';
import { auditHeaderOf } from './header/auditHeader.ts';
import { embeddedConfig, unpackPayload } from './payload.ts';
import { split } from './report.ts';
import { auditStub, type StubAudit } from './stub/audit.ts';
import type { AuditReport, Coverage, Finding } from './types.ts';
import { auditVmlinux } from './vmlinux/audit.ts';

/** Throws an InputError where the file is no bzImage at all. */
export function auditBzImage(bytes: Uint8Array, options: AuditOptions): AuditReport {
  const header = auditHeaderOf(bytes);
  const configured = options.config === undefined ? [] : auditConfig(options.config, configFactsOf(bytes));
  const image = parsedUnless(header, bytes);
  const found = image === undefined ? { findings: [], notes: [], coverage: NOTHING } : auditCode(image, options);
  const inner = image === undefined || options.payload !== true ? [] : auditPayload(image, options);
  return {
    kind: 'bzImage',
    size: bytes.length,
    what: image === undefined ? 'a bzImage that contradicts itself' : bzImageText(image),
    ...split([...found.findings, ...found.notes, ...header, ...configured, ...inner]),
    coverage: found.coverage,
  };
}

const NOTHING: Coverage = { followed: { 16: 0, 32: 0, 64: 0 }, swept: 0, constants: 0, dataWords: 0 };

/** A bzImage whose code cannot be found because its header is wrong is reported by its header. */
function parsedUnless(header: readonly Finding[], bytes: Uint8Array): BzImage | undefined {
  try {
    return parseBzImage(bytes);
  } catch (error) {
    if (error instanceof InputError && header.some(({ severity }) => severity === 'error')) return undefined;
    throw error;
  }
}

function bzImageText({ version, protocol }: BzImage): string {
  const [release] = (version ?? '').split(' ');
  return `bzImage${release === '' ? '' : ` ${release}`} (boot protocol ${protocolText(protocol)})`;
}

function auditCode(image: BzImage, { symbols }: AuditOptions): StubAudit {
  const { findings, notes, coverage } = auditStub(programOfBzImage(image, symbols), image.header.pref_address);
  // Real-mode code addresses by segment, so its fixed offsets are right; it is only counted.
  const setup = findCode(programOfSetup(image)).instructions;
  return { findings, notes, coverage: { ...coverage, followed: { ...coverage.followed, 16: setup.length } } };
}

/** A payload that cannot be used is a finding of the image that carries it. */
function auditPayload(image: BzImage, options: AuditOptions): Finding[] {
  const { payload, bytes } = image;
  // The header's audit says that a format is not known.
  if (payload === undefined || payload.format === 'unknown') return [];
  try {
    return auditInner(unpackPayload(bytes, payload), bytes, options);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return [brokenPayload(payload, error.message)];
  }
}

function brokenPayload({ fileOffset, format }: Payload, why: string): Finding {
  return {
    rule: 'payload-layout',
    severity: 'error',
    confidence: 'high',
    message: `The kernel inside cannot be used: ${why}.`,
    reason: `It was unpacked here, as ${format}.`,
    fileOffset,
    place: 'payload',
  };
}

function auditInner(kernel: Uint8Array, image: Uint8Array, options: AuditOptions): Finding[] {
  const { findings, notes } = auditVmlinux(kernel);
  const carried = options.config === undefined ? embeddedConfig(kernel) : undefined;
  const configured = carried === undefined ? [] : auditConfig(carried.config, configFactsOf(image));
  return [...findings.map(inKernel), ...notes.map(inKernel), ...configured];
}

/** Its place in the file is a place in what was unpacked, which nobody has as a file. */
function inKernel({ fileOffset, place, ...finding }: Finding): Finding {
  const where = place ?? (fileOffset === undefined ? 'the kernel' : `offset 0x${fileOffset.toString(16)}`);
  return { ...finding, place: `${where}, in the unpacked kernel` };
}
