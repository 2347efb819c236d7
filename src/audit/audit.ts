// The way in: tells what a file is, and has it audited by those who know its kind.

import { readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { findCode } from '../code/codeMap.ts';
import { programOfBzImage, programOfSetup } from '../code/program.ts';
import { type BzImage, parseBzImage, protocolText } from '../image/bzimage.ts';
import { checkElfHeader, isElf } from '../image/elf.ts';
import { findEmbeddedConfig, parseKernelConfig } from '../image/kernelConfig.ts';
import type { PayloadFormat } from '../image/payload.ts';
import type { SymbolTable } from '../image/symbols.ts';
import { type PackedFormat, unpack } from '../unpack/unpack.ts';
import { auditConfig, configFactsOf } from './config.ts';
import { auditHeaderOf } from './header/auditHeader.ts';
import { auditElfLayout, saysNotPie } from './header/elfLayout.ts';
import { auditStub } from './stub/audit.ts';
import { elfStub, isKernel } from './stub/elf.ts';
import type { AuditReport, Confidence, Coverage, Finding } from './types.ts';
import { auditVmlinux } from './vmlinux/audit.ts';

export type AuditOptions = {
  /** Of the stub in a bzImage. */
  readonly symbols?: SymbolTable;
  /** Text of a .config. */
  readonly config?: string;
  /** Text of the command that links the stub, or a build log that holds it. */
  readonly link?: string;
  /** Unpack the kernel inside, and audit it and the configuration it carries. */
  readonly payload?: boolean;
};

export type AuditInput = { readonly name: string; readonly bytes: Uint8Array };

/** Audits one file. Throws an InputError where it is none of the kinds that can be audited, or contradicts itself. */
export function auditFile(bytes: Uint8Array, name: string, options: AuditOptions): AuditReport {
  const [report] = auditFiles([{ name, bytes }], options);
  if (report === undefined) throw new RangeError('one file has one report');
  return report;
}

/** Audits files; objects and archives among them are taken as parts of one link. Throws an InputError as `auditFile`. */
export function auditFiles(inputs: readonly AuditInput[], options: AuditOptions): AuditReport[] {
  return inputs.map(({ bytes }) => auditLinked(bytes, options));
}

function auditLinked(bytes: Uint8Array, options: AuditOptions): AuditReport {
  if (!isElf(bytes)) return auditBzImage(bytes, options);
  checkElfHeader(readerOf(bytes, 'the ELF file'));
  return isKernel(bytes) ? auditKernelFile(bytes, options) : auditStubFile(bytes, options);
}

function auditKernelFile(bytes: Uint8Array, { symbols }: AuditOptions): AuditReport {
  const { what, findings, notes, coverage } = auditVmlinux(bytes, symbols);
  return { kind: 'vmlinux', size: bytes.length, what, ...split([...findings, ...notes]), coverage };
}

function auditStubFile(bytes: Uint8Array, { symbols }: AuditOptions): AuditReport {
  const { program, named } = elfStub(bytes, symbols);
  const { findings, coverage } = auditStub(program, undefined, named);
  const layout = auditElfLayout(bytes).map((f) => (findings.length === 0 ? withoutHarm(f) : f));
  return {
    kind: 'stub',
    size: bytes.length,
    what: 'the ELF file of a boot stub',
    ...split([...findings, ...layout]),
    coverage,
  };
}

/** A stub that lost its -pie and has nothing in it that needs one is no worse for it. */
function withoutHarm(finding: Finding): Finding {
  if (!saysNotPie(finding)) return finding;
  return { ...finding, severity: 'note', reason: `${finding.reason} Here nothing was found that breaks by it.` };
}

function auditBzImage(bytes: Uint8Array, options: AuditOptions): AuditReport {
  const header = auditHeaderOf(bytes);
  const configured = options.config === undefined ? [] : auditConfigText(options.config, bytes);
  const image = parsedUnless(header, bytes);
  const found = image === undefined ? { findings: [], coverage: NOTHING } : auditCode(image, options);
  const inner = image === undefined || options.payload !== true ? [] : auditPayload(image, options);
  return {
    kind: 'bzImage',
    size: bytes.length,
    what: image === undefined ? 'a bzImage that contradicts itself' : bzImageText(image),
    ...split([...found.findings, ...header, ...configured, ...inner]),
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

function auditCode(image: BzImage, { symbols }: AuditOptions): { findings: readonly Finding[]; coverage: Coverage } {
  const { findings, coverage } = auditStub(programOfBzImage(image, symbols), image.header.pref_address);
  // Real-mode code addresses by segment, so its fixed offsets are right; it is only counted.
  const setup = findCode(programOfSetup(image)).instructions;
  return { findings, coverage: { ...coverage, followed: { ...coverage.followed, 16: setup.length } } };
}

function auditConfigText(text: string, image: Uint8Array): Finding[] {
  return auditConfig(parseKernelConfig(text), configFactsOf(image));
}

/** Most bytes a kernel may unpack to. */
const LARGEST_KERNEL = 1 << 30;
const LARGEST_CONFIG = 8 << 20;

function auditPayload(image: BzImage, options: AuditOptions): Finding[] {
  const { payload, bytes } = image;
  if (payload === undefined) return [];
  const packed = bytes.subarray(payload.fileOffset, payload.fileOffset + payload.length);
  const kernel = unpacked(payload.format, packed);
  if (kernel === undefined) return [];
  const { findings, notes } = auditVmlinux(kernel);
  const carried = options.config === undefined ? embeddedConfig(kernel, bytes) : [];
  return [...findings.map(inKernel), ...notes.map(inKernel), ...carried];
}

function unpacked(format: PayloadFormat, packed: Uint8Array): Uint8Array | undefined {
  if (format === 'unknown') return undefined;
  return format === 'elf' ? packed : unpack(format satisfies PackedFormat, packed, LARGEST_KERNEL);
}

/** Its place in the file is a place in what was unpacked, which nobody has as a file. */
function inKernel({ fileOffset, place, ...finding }: Finding): Finding {
  const where = place ?? (fileOffset === undefined ? 'the kernel' : `offset 0x${fileOffset.toString(16)}`);
  return { ...finding, place: `${where}, in the unpacked kernel` };
}

function embeddedConfig(kernel: Uint8Array, image: Uint8Array): Finding[] {
  const range = findEmbeddedConfig(kernel);
  if (range === undefined) return [];
  const packed = kernel.subarray(range.fileOffset, range.fileOffset + range.size);
  return auditConfigText(new TextDecoder().decode(unpack('gzip', packed, LARGEST_CONFIG)), image);
}

const RANK: Record<Finding['severity'], number> = { error: 0, warning: 1, note: 2 };
const SURENESS: Record<Confidence, number> = { high: 0, medium: 1, low: 2 };

/** Notes apart; the rest most certain first, then as they stand in the file. */
function split(all: readonly Finding[]): Pick<AuditReport, 'findings' | 'notes'> {
  const order = (a: Finding, b: Finding): number =>
    RANK[a.severity] - RANK[b.severity] ||
    SURENESS[a.confidence] - SURENESS[b.confidence] ||
    (a.fileOffset ?? 0) - (b.fileOffset ?? 0);
  const findings = all.filter(({ severity }) => severity !== 'note').sort(order);
  return { findings, notes: all.filter(({ severity }) => severity === 'note') };
}
