// Made-up audits, to be reported.
import type { AuditReport, Finding, LinkPrediction } from '../../src/audit/types.ts';

/** The bad sample's, as with symbols. */
export const FINDING: Finding = {
  rule: 'position-dependent-reference',
  severity: 'error',
  confidence: 'high',
  message: 'The instruction at link address 0x18280 loads the address of trampoline_32bit_src as a fixed number.',
  reason: 'The number is where a function starts.',
  fileOffset: 0x1a280,
  linkAddress: 0x18280n,
  bytes: Uint8Array.of(0x48, 0xc7, 0xc6, 0x40, 0x80, 0x01, 0x00),
  text: 'mov    $0x18040,%rsi',
  place: 'paging_prepare+0x140',
  target: { linkAddress: 0x18040n, symbol: 'trampoline_32bit_src', what: 'start of a function' },
  relocation: 'R_X86_64_REX_GOTPCRELX, of a load from the GOT',
  decision: 'GNU ld made it, in a link without -pie.',
  repair: { bytes: Uint8Array.of(0x48, 0x8d, 0x35, 0xb9, 0xfd, 0xff, 0xff), text: 'lea    -0x247(%rip),%rsi' },
  advice: 'Link it with -pie.\nLook at the command.',
};

/** Of a field: no instruction, no target, nothing to repair. */
export const FIELD: Finding = {
  rule: 'boot-protocol-field',
  severity: 'warning',
  confidence: 'medium',
  message: 'init_size is 0x1000, less than the image has.',
  reason: 'The two numbers are in the file.',
  fileOffset: 0x260,
  bytes: Uint8Array.of(0, 0x10, 0, 0),
  text: 'init_size = 0x1000',
  place: 'setup header',
};

export const NOTE: Finding = {
  rule: 'configuration',
  severity: 'note',
  confidence: 'high',
  message: 'CONFIG_X86_5LEVEL is set.',
  reason: 'The image carries its configuration.',
};

export const REPORT: AuditReport = {
  kind: 'bzImage',
  size: 110_592,
  what: 'bzImage 6.1 (boot protocol 2.15)',
  findings: [FINDING],
  notes: [NOTE],
  coverage: { followed: { 16: 0, 32: 200, 64: 1034 }, swept: 7, constants: 2650, dataWords: 1 },
};

export const CLEAN: AuditReport = { ...REPORT, findings: [], notes: [] };

const SAME = { pie: 'pc-relative', noPie: 'pc-relative' } as const;

export const LOST: LinkPrediction = {
  object: 'paging.o',
  section: '.text',
  offset: 0x143n,
  relocation: 'R_X86_64_REX_GOTPCRELX',
  symbol: 'trampoline_32bit_src',
  addend: -4n,
  text: 'mov    0x0(%rip),%rsi',
  results: { bfd: { pie: 'pc-relative', noPie: 'absolute' }, gold: SAME, lld: SAME, mold: SAME },
  breaksWithoutPie: ['bfd'],
};

export const STABLE: LinkPrediction = {
  ...LOST,
  relocation: 'R_X86_64_PC32',
  results: { bfd: SAME, gold: SAME, lld: SAME, mold: SAME },
  breaksWithoutPie: [],
};

export const OBJECT: AuditReport = {
  kind: 'object',
  size: 6024,
  what: 'ELF object for x86-64',
  findings: [],
  notes: [],
  predictions: [LOST, STABLE, { ...STABLE, object: 'head.o' }],
};
