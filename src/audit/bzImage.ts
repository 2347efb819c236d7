// The audit of a bzImage: header, code of the stub, configuration, and on request the kernel packed inside.

import { InputError } from '../bits/errors.ts';
import { findCode } from '../code/codeMap.ts';
import { programOfBzImage, programOfSetup } from '../code/program.ts';
import { type BzImage, OLDEST_PROTOCOL, type Payload, parseBzImage, protocolText } from '../image/bzimage.ts';
import { classify, type FileIdentity } from '../image/classify.ts';
import type { AuditOptions } from './options.ts';
import { auditConfig, configFactsOf } from './config.ts';
import { entryFindings } from './entry64.ts';
import { auditFacts } from './header/auditHeader.ts';
import { matchesBuildChecksum } from './header/checksum.ts';
import { type HeaderFacts, headerFacts } from './header/facts.ts';
import { embeddedConfig, LARGEST_KERNEL, unpackPayload } from './payload.ts';
import { programFindings } from './program.ts';
import { split } from './report.ts';
import { auditStub, type StubAudit } from './stub/audit.ts';
import type { AuditReport, Coverage, Finding } from './types.ts';
import { auditVmlinux } from './vmlinux/audit.ts';

/**
 * Throws an InputError where the setup header is older than what is known here, or the file ends before it does.
 * @param identity of an image with a setup header: a kernel, or a program that is none
 */
export function auditBzImage(bytes: Uint8Array, identity: FileIdentity, options: AuditOptions): AuditReport {
  const facts = headerFacts(bytes);
  checkProtocol(facts.header.version, identity);
  const header = auditFacts(facts);
  const image = parsedUnless(header, bytes);
  return facts.isKernel ? auditKernelImage(facts, header, image, options) : programReport(facts, header, image);
}

function checkProtocol(version: number, { what }: FileIdentity): void {
  if (version >> 8 !== 2 || version >= OLDEST_PROTOCOL) return;
  throw new InputError(`this is ${what}, of boot protocol ${protocolText(version)}; the audit knows 2.06 and newer`);
}

function auditKernelImage(
  facts: HeaderFacts,
  header: readonly Finding[],
  image: BzImage | undefined,
  options: AuditOptions,
): AuditReport {
  const configured = options.config === undefined ? [] : auditConfig(options.config, configFactsOf(facts.bytes));
  const found = image === undefined ? NOTHING_FOUND : auditCode(image, options);
  // A payload that seems to end elsewhere than its length says may be a damaged one.
  const sound = header.every(
    ({ rule, severity, text = '' }) =>
      severity !== 'error' || rule !== 'payload-layout' || text.startsWith('payload_length'),
  );
  const inner = image === undefined ? [] : auditPayload(image, facts, sound, options);
  return {
    kind: 'bzImage',
    size: facts.bytes.length,
    what: image === undefined ? 'a bzImage that contradicts itself' : bzImageText(image),
    ...split([...found.findings, ...found.notes, ...header, ...configured, ...inner]),
    coverage: found.coverage,
  };
}

/** Its setup header promises loaders what a kernel's does; its code is its own affair, and may relocate itself. */
function programReport({ bytes, version }: HeaderFacts, header: Finding[], image: BzImage | undefined): AuditReport {
  const named = version === undefined ? '' : ` ("${version}")`;
  const protocol = image === undefined ? 'that contradicts itself' : `boot protocol ${protocolText(image.protocol)}`;
  const entry = image === undefined ? [] : entryFindings(image);
  return {
    kind: 'linux-program',
    size: bytes.length,
    what: `program with a Linux setup header${named}, ${protocol}, no kernel packed in it; its headers were looked at, and not its code`,
    ...split([...header, ...entry]),
  };
}

const NOTHING: Coverage = { followed: { 16: 0, 32: 0, 64: 0 }, swept: 0, constants: 0, dataWords: 0 };
const NOTHING_FOUND: StubAudit = { findings: [], notes: [], coverage: NOTHING };

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
  const entry = findings.length === 0 ? entryFindings(image) : [];
  return {
    findings: [...findings, ...entry],
    notes,
    coverage: { ...coverage, followed: { ...coverage.followed, 16: setup.length } },
  };
}

/**
 * A payload that cannot be used is a finding of the image that carries it. It is unpacked where that is asked for, and where
 * nothing else tells that it is as the build left it, to no more than init_size bytes.
 * @param sound nothing that the header says of the payload tells already why it cannot be unpacked
 */
function auditPayload(image: BzImage, facts: HeaderFacts, sound: boolean, options: AuditOptions): Finding[] {
  const { payload, bytes } = image;
  // The header's audit says that a format is not known.
  if (payload === undefined || payload.format === 'unknown') return [];
  const wanted = options.payload === true;
  if (!wanted && (!sound || payload.format === 'elf' || matchesBuildChecksum(facts))) return [];
  try {
    const kernel = unpackPayload(bytes, payload, wanted ? LARGEST_KERNEL : Math.min(LARGEST_KERNEL, image.initSize));
    return wanted ? auditInner(kernel, bytes, options) : [];
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
  const identity = classify(kernel);
  const { findings, notes } = identity.bits === 32 ? kernel32(kernel, identity) : auditVmlinux(kernel);
  const carried = options.config === undefined ? embeddedConfig(kernel) : undefined;
  const configured = carried === undefined ? [] : auditConfig(carried.config, configFactsOf(image));
  return [...findings.map(inKernel), ...notes.map(inKernel), ...configured];
}

function kernel32(kernel: Uint8Array, identity: FileIdentity): Pick<StubAudit, 'findings' | 'notes'> {
  const message = 'The startup code of the kernel inside was not looked at: it is 32-bit code.';
  const reason = 'The audit knows the startup code of 64-bit kernels.';
  const note: Finding = {
    rule: 'kernel-address-before-mapping',
    severity: 'note',
    confidence: 'high',
    message,
    reason,
  };
  return { findings: programFindings(kernel, identity), notes: [note] };
}

/** Its place in the file is a place in what was unpacked, which nobody has as a file. */
function inKernel({ fileOffset, place, ...finding }: Finding): Finding {
  const where = place ?? (fileOffset === undefined ? 'the kernel' : `offset 0x${fileOffset.toString(16)}`);
  return { ...finding, place: `${where}, in the unpacked kernel` };
}
