// Words for kernel addresses in startup code: findings for those that cannot be right, notes for the rest.
import { hex } from '../../bits/hex.ts';
import { attText, decodeOne } from '../../code/disassembly.ts';
import { repairedMovBytes } from '../../code/mutant.ts';
import { listed } from '../../image/kernelRelocs.ts';
import { type SymbolTable, symbolAt, symbolText } from '../../image/symbols.ts';
import type { Confidence, Finding, Severity } from '../types.ts';
import { inLinkRange, type KernelFile, kernelFileOffset, unsigned } from './layout.ts';
import type { Operation } from './operation.ts';
import { relocationText } from './relocation.ts';
import type { Use, UseKind } from './transfer.ts';
import type { Constant } from './values.ts';
import type { StartupCode } from './walk.ts';

export interface Names {
  readonly kernel: KernelFile;
  readonly symbols: SymbolTable | undefined;
}

/** Worst first: what a finding tells of when there are several. */
const KINDS: Readonly<Record<UseKind, { readonly severity: Severity; readonly does: string }>> = {
  accessed: { severity: 'error', does: 'memory is accessed there' },
  'jumped-to': { severity: 'error', does: 'control goes there' },
  'stack-pointer': { severity: 'error', does: 'it becomes the stack pointer' },
  'descriptor-table': { severity: 'error', does: 'it becomes the base of the GDT or IDT' },
  'page-tables': { severity: 'error', does: 'it becomes the physical address of the page tables' },
  compared: {
    severity: 'warning',
    does: 'it is compared with an address in the 1:1 map, or with one that is not known',
  },
  measured: { severity: 'warning', does: 'an address in the 1:1 map is subtracted from it' },
  stored: { severity: 'warning', does: 'it is stored for later' },
};
const ORDER = Object.keys(KINDS) as readonly UseKind[];

/** Kernel addresses in the instructions, by where their bytes stand. */
export function constantsOf({ instructions }: StartupCode, kernel: KernelFile): ReadonlyMap<number, Constant> {
  const all = instructions.flatMap(({ operands }) =>
    operands.flatMap((o) =>
      o.kind === 'constant' ? o.constant : o.kind === 'memory' ? (o.memory.constant ?? []) : [],
    ),
  );
  return new Map(all.filter((c) => inLinkRange(kernel, c.value)).map((c) => [c.address, c]));
}

/** Whether KASLR's table moves the constant; undefined where there is no table. */
function isCovered({ relocs }: KernelFile, { address, bytes }: Constant): boolean | undefined {
  return relocs === undefined ? undefined : listed(bytes === 8 ? relocs.abs64 : relocs.abs32, address);
}

/** One finding for each constant that is used as an address too early, or that KASLR would leave behind. */
export function startupFindings(names: Names, code: StartupCode): Finding[] {
  return [...constantsOf(code, names.kernel).values()].flatMap((constant) => {
    const uses = code.uses.filter((u) => u.constant.address === constant.address);
    const use = worstUse(uses);
    const covered = isCovered(names.kernel, constant);
    if (use === undefined && covered !== false) return [];
    // An address in the 1:1 map in its place is right where nothing is made of it but that address.
    const repairable = uses.every(({ alone }) => alone);
    return findingOf(names, constant, use, covered, repairable);
  });
}

/** Of an exact use and one with something unknown added, the exact one. */
function worstUse(uses: readonly Use[]): Use | undefined {
  const rank = (use: Use): number => (use.exact ? 0 : ORDER.length) + ORDER.indexOf(use.kind);
  return [...uses].sort((a, b) => rank(a) - rank(b))[0];
}

function findingOf(
  names: Names,
  constant: Constant,
  use: Use | undefined,
  covered: boolean | undefined,
  repairable: boolean,
): Finding {
  const { kernel } = names;
  const instruction = describe(names, constant.instruction);
  const repair = repairable && use !== undefined ? repairOf(constant, instruction.bytes) : undefined;
  const relocation = relocationText(kernel, constant, covered);
  return {
    rule: 'kernel-address-before-mapping',
    severity: covered === false || use === undefined ? 'error' : KINDS[use.kind].severity,
    confidence: confidenceOf(use, covered),
    message: messageOf(names, constant, use, covered),
    reason: reasonOf(names, use, covered),
    ...instruction,
    linkAddress: unsigned(constant.instruction),
    ...placeOf(names, constant.instruction),
    target: targetOf(names, constant.value),
    ...(relocation === undefined ? {} : { relocation }),
    decision: decisionOf(instruction.bytes),
    ...(repair === undefined ? {} : { repair }),
    advice: ADVICE,
  };
}

const confidenceOf = (use: Use | undefined, covered: boolean | undefined): Confidence =>
  covered === false || (use?.exact === true && KINDS[use.kind].severity === 'error') ? 'high' : 'medium';

function messageOf(names: Names, { instruction, value }: Constant, use: Use | undefined, covered: boolean | undefined) {
  const what = `${nameOf(names, instruction)} holds the kernel's virtual address ${addressText(names, value)}`;
  if (use === undefined)
    return `${what}, and the relocation table does not list it: it goes stale when KASLR moves the kernel.`;
  const where = use.at === instruction ? '' : ` at ${hex(unsigned(use.at))}`;
  const missing = covered === false ? ', and the relocation table does not list it' : '';
  return `${what}, and ${KINDS[use.kind].does}${where} while only the 1:1 map exists${missing}.`;
}

function reasonOf(names: Names, use: Use | undefined, covered: boolean | undefined): string {
  const why: string[] = [];
  if (use !== undefined) {
    const { text } = describe(names, use.at);
    const reaches = `The value reaches ${text === undefined ? '' : `"${text}" at `}${hex(unsigned(use.at))} before CR3 is written.`;
    why.push(`${reaches} ${KINDS[use.kind].severity === 'error' ? EARLY_FAULT : OTHER_KIND}`);
    if (!use.exact) why.push('Something unknown is added to it on the way, which may make it another address.');
  }
  if (covered === false)
    why.push(
      'Every address that the linker puts into the code has an entry in the relocation table; this one has none, so no compiler or assembler made it with a relocation that relocs saw.',
    );
  if (covered === true)
    why.push(
      'The relocation table lists it, so KASLR moves it along; it still means the kernel mapping, which is not there yet.',
    );
  if (covered === undefined)
    why.push('The file has no relocation table, so whether KASLR would move it along is not known.');
  return why.join(' ');
}

const EARLY_FAULT =
  'What is mapped then is what the loader or the stub mapped: addresses 1:1. A virtual address of the kernel page-faults, and where there is no handler yet, the machine resets.';
const OTHER_KIND =
  'Other addresses in this code are those of the 1:1 map, and what mixes both kinds is mostly wrong by the distance between them; healthy kernels were not seen to do so.';

const SIGNED_MOV = 'R_X86_64_32S';

/** Who makes such a form. */
function decisionOf(bytes: Uint8Array | undefined): string {
  const compiler = `${SIGNED_MOV} (R_X86_64_64 of movabs): a compiler without -fPIE makes it, since with -mcmodel=kernel an absolute address is as good as one computed from RIP; so does an assembler of $symbol.`;
  const relaxed = bytes !== undefined && repairedMovBytes(bytes, 0) !== undefined;
  return relaxed
    ? `${compiler} ld makes this form, too, of a mov with R_X86_64_REX_GOTPCRELX (-fPIE without hidden visibility) where the link is not -pie.`
    : compiler;
}

const ADVICE =
  'Have the address computed from RIP: lea symbol(%rip) in assembly, RIP_REL_REF() or rip_rel_ptr() in C (fixup_pointer() in older kernels), or build the file with -fPIE and hidden visibility.';

function repairOf({ value, instruction }: Constant, bytes: Uint8Array | undefined): Finding['repair'] {
  const repaired = bytes === undefined ? undefined : repairedMovBytes(bytes, instruction);
  if (repaired === undefined || !Number.isSafeInteger(value)) return undefined;
  return { bytes: repaired, text: textOf(repaired, instruction) };
}

function textOf(bytes: Uint8Array, at: number): string {
  const insn = decodeOne(bytes, unsigned(at), 64);
  const text = attText(insn);
  insn.free();
  return text;
}

const LONGEST = 15;

/** The instruction at an address: where it stands in the file, its bytes and text. */
function describe({ kernel }: Names, at: number): { fileOffset?: number; bytes?: Uint8Array; text?: string } {
  const fileOffset = kernelFileOffset(kernel, at);
  if (fileOffset === undefined) return {};
  const insn = decodeOne(kernel.bytes.subarray(fileOffset, fileOffset + LONGEST), unsigned(at), 64);
  const described = {
    fileOffset,
    bytes: kernel.bytes.slice(fileOffset, fileOffset + insn.length),
    text: attText(insn),
  };
  insn.free();
  return described;
}

const symbolOf = ({ symbols }: Names, at: number): string | undefined => {
  const hit = symbols === undefined ? undefined : symbolAt(symbols, unsigned(at));
  return hit === undefined ? undefined : symbolText(hit);
};

const nameOf = (names: Names, at: number): string => symbolOf(names, at) ?? `The instruction at ${hex(unsigned(at))}`;

const placeOf = (names: Names, at: number): { place?: string } => {
  const place = symbolOf(names, at);
  return place === undefined ? {} : { place };
};

function addressText(names: Names, value: number): string {
  const symbol = symbolOf(names, value);
  return symbol === undefined ? hex(unsigned(value)) : `${hex(unsigned(value))} (${symbol})`;
}

function targetOf(names: Names, value: number): NonNullable<Finding['target']> {
  const linkAddress = unsigned(value);
  const symbol = symbolOf(names, value);
  if (symbol !== undefined) return { linkAddress, symbol };
  const section = names.kernel.sections.find(
    (s) => linkAddress >= s.address && linkAddress < s.address + BigInt(s.size),
  );
  return section === undefined ? { linkAddress } : { linkAddress, what: `in ${section.name}` };
}

/** What each kernel address that is no finding is there for, by the form of its instruction. */
export function startupNotes(names: Names, code: StartupCode): Finding[] {
  const suspicious = new Set(code.uses.filter((u) => u.constant.kind !== 'data').map((u) => u.constant.address));
  const harmless = [...constantsOf(code, names.kernel).values()].filter(
    (c) => !suspicious.has(c.address) && isCovered(names.kernel, c) !== false,
  );
  return [...harmlessNotes(names, code, harmless), ...pointerNotes(names, code), ...limitNotes(names, code)];
}

const note = (message: string, reason: string, rest: Partial<Finding> = {}): Finding => ({
  ...{ rule: 'kernel-address-before-mapping', severity: 'note', confidence: 'high', message, reason },
  ...rest,
});

const FORMS = [
  [
    'displacement',
    'added to a register, from which a kernel address is then taken off (fixup_pointer of startup code in C)',
  ],
  ['sub', 'subtracted from an address, which leaves a distance or an address in the 1:1 map'],
  ['cmp', 'compared with kernel addresses'],
  [
    'other',
    'loaded or added and then only calculated with (indexes of page tables), or handed to code that is not followed',
  ],
] as const;

function formOf({ kind }: Constant, operation: Operation | undefined, text: string): (typeof FORMS)[number][0] {
  if (kind === 'displacement') return 'displacement';
  if (operation === undefined) return 'other';
  return text.startsWith('sub') ? 'sub' : text.startsWith('cmp') ? 'cmp' : 'other';
}

const MOST_LISTED = 24;

function harmlessNotes(names: Names, code: StartupCode, harmless: readonly Constant[]): Finding[] {
  const operations = new Map(code.instructions.map((o) => [o.at, o]));
  const forms = harmless.map((c) => {
    const { text = '' } = describe(names, c.instruction);
    return formOf(c, operations.get(c.instruction), text);
  });
  return FORMS.flatMap(([form, meaning]) => {
    const those = harmless.filter((_, i) => forms[i] === form);
    if (those.length === 0) return [];
    const places = those
      .slice(0, MOST_LISTED)
      .map((c) => symbolOf(names, c.instruction) ?? hex(unsigned(c.instruction)));
    const more = those.length > places.length ? ` and ${those.length - places.length} more` : '';
    const plural = those.length === 1 ? 'kernel address in startup code is' : 'kernel addresses in startup code are';
    return note(
      `${those.length} ${plural} ${meaning}.`,
      `None reaches a memory access before the mapping: ${places.join(', ')}${more}.`,
    );
  });
}

/** Pointers kept in memory that startup code would go by; healthy kernels have them on ways that run only later. */
function pointerNotes(names: Names, code: StartupCode): Finding[] {
  const byInstruction = new Map(
    code.uses.filter((u) => u.constant.kind === 'data').map((u) => [u.constant.instruction, u]),
  );
  return [...byInstruction.values()].map(({ constant, kind }) =>
    note(
      `${nameOf(names, constant.instruction)} takes the kernel address ${addressText(names, constant.value)} from memory, and ${KINDS[kind].does}.`,
      'That is right only where this way is taken after the kernel mapping is installed, which the code asks at run time (paravirtual calls, for example).',
      {
        confidence: 'low',
        ...describe(names, constant.instruction),
        linkAddress: unsigned(constant.instruction),
        ...placeOf(names, constant.instruction),
        target: targetOf(names, constant.value),
      },
    ),
  );
}

function limitNotes(names: Names, { left, switches, incomplete }: StartupCode): Finding[] {
  const list: Finding[] = [];
  const texts = (addresses: readonly number[]): string =>
    addresses
      .slice(0, MOST_LISTED)
      .map((at) => symbolOf(names, at) ?? hex(unsigned(at)))
      .join(', ');
  if (left.length > 0)
    list.push(
      note(
        `Startup code calls ${left.length === 1 ? 'a function' : `${left.length} functions`} that the rest of the kernel uses too, which this audit does not follow.`,
        `They lead to much other code and are called from elsewhere (panic, exception handlers): ${texts(left)}.`,
      ),
    );
  if (switches.length === 0)
    list.push(
      note(
        'No write to CR3 was found on the way from the entry.',
        'The audit went as far as control flow could be followed.',
      ),
    );
  if (incomplete)
    list.push(
      note(
        'The code from the entry on is more than startup code ever is: the audit was given up.',
        'Findings may be missing.',
        { confidence: 'low' },
      ),
    );
  return list;
}
