// Why an exception came, with the values that the failed check was made on: read from a machine that stands where the
// exception found it. Nothing is changed, not even accessed bits.

import { type Instruction, MemorySizeExt, OpKind, Register } from 'iced-x86';
import { physAddr } from '../bits/address.ts';
import { hex } from '../bits/hex.ts';
import type { FaultLink } from '../cpu/microcode/delivery.ts';
import { linearAddress, memoryPlace, readRegister } from '../cpu/microcode/operands.ts';
import { type EntryReader, type Walk, type WalkStep, walkOf } from '../cpu/mmu/walk.ts';
import { isFault } from '../cpu/state/cpu.ts';
import * as at from '../cpu/state/layout.ts';
import { type CpuState, SEG } from '../cpu/state/state.ts';
import type { Engine } from '../cpu/interpret/engine.ts';
import { type BitField, bitNames } from '../x86/bitNames.ts';
import { type Descriptor, decodeDescriptor, systemTypeName } from '../x86/descriptors.ts';
import { PTE_ADDRESS, PTE_P } from '../x86/paging.ts';
import { GPR } from '../x86/registers.ts';
import { REASONS, type ReasonId } from '../x86/reasons.ts';

/** One value that the check was made on. */
export type Fact = {
  /** "CR4", "memory operand", "PML4 entry 511". */
  readonly name: string;
  readonly value: bigint;
  /** The value in words, as it matters here. */
  readonly text: string;
};

export type Explanation = {
  readonly check: ReasonId;
  /** The check that failed, as a clause. */
  readonly words: string;
  readonly manual: string;
  readonly facts: readonly Fact[];
};

type Scene = {
  readonly engine: Engine;
  readonly state: CpuState;
  readonly link: Omit<FaultLink, 'rip'>;
  /** The instruction at RIP; undefined where it cannot be fetched. */
  readonly insn: Instruction | undefined;
  readonly read: EntryReader;
};

type Teller = (scene: Scene) => readonly Fact[];

/** @param link an exception of a chain that was never delivered: the machine stands where it came */
export function explain(engine: Engine, link: Omit<FaultLink, 'rip'>): Explanation | undefined {
  if (link.check === undefined) return undefined;
  const decoded = engine.currentInstruction();
  const insn = isFault(decoded) ? undefined : decoded;
  const read: EntryReader = (address, bytes) =>
    engine.memory.hostOf(Number(address)) === undefined
      ? undefined
      : engine.readPhysical(physAddr(Number(address)), bytes);
  const scene = { engine, state: engine.state, link, insn, read };
  const facts = (TELLERS[link.check] ?? []).flatMap((tell) => tell(scene));
  insn?.free();
  return { check: link.check, ...REASONS[link.check], facts };
}

// Registers ---------------------------------------------------------------------------------------------------------------

const REGISTERS = { CR0: at.CR0, CR4: at.CR4, EFER: at.EFER, XCR0: at.XCR0 } as const;

const register =
  (name: keyof typeof REGISTERS): Teller =>
  ({ state }) => [bitsFact(name, name, state.u64(REGISTERS[name]))];

const bitsFact = (name: string, field: BitField, value: bigint): Fact => {
  const names = bitNames(field, value);
  return { name, value, text: `${hex(value)} (${names.length === 0 ? 'no bit set' : names.join(' ')})` };
};

const privilege: Teller = ({ state }) => [{ name: 'privilege level', value: BigInt(state.cpl), text: `${state.cpl}` }];

/** What MOV to a control register, WRMSR, XSETBV would have written. */
const written: Teller = ({ insn, state }) => {
  if (insn === undefined || insn.opCount < 2 || insn.opKind(1) !== OpKind.Register) return edxEax({ state });
  const value = readRegister(state, insn.op1Register);
  const field = CONTROL.get(insn.op0Register);
  return [field ? bitsFact('new value', field, value) : { name: 'new value', value, text: hex(value) }];
};

const CONTROL = new Map<Register, BitField>([
  [Register.CR0, 'CR0'],
  [Register.CR4, 'CR4'],
]);

const edxEax = ({ state }: { state: CpuState }): Fact[] => {
  const value = ((state.reg(GPR.RDX) & 0xffff_ffffn) << 32n) | (state.reg(GPR.RAX) & 0xffff_ffffn);
  return [{ name: 'new value', value, text: `${hex(value)} (EDX:EAX)` }];
};

const number: Teller = ({ state }) => {
  const value = state.reg(GPR.RCX) & 0xffff_ffffn;
  return [{ name: 'ECX', value, text: hex(value) }];
};

// Operands ----------------------------------------------------------------------------------------------------------------

const operand: Teller = ({ engine, insn, state }) => {
  if (insn === undefined || !hasMemory(insn)) return [];
  const { segment, offset } = memoryPlace(engine, insn);
  const linear = linearAddress(engine, segment, offset, 1, false);
  const bytes = Math.max(1, MemorySizeExt.size(insn.memorySize));
  const address = isFault(linear) ? offset : linear;
  const off = bytes >= 16 ? address & BigInt(bytes - 1) : 0n;
  const text = `${bytes} byte${bytes === 1 ? '' : 's'} at ${hex(address)}${off === 0n ? '' : `, ${off} beyond a multiple of ${bytes}`}`;
  return [{ name: 'memory operand', value: address, text }, ...partsOf(insn, state)];
};

const hasMemory = (insn: Instruction): boolean => {
  for (let n = 0; n < insn.opCount; n++) if (insn.opKind(n) === OpKind.Memory) return true;
  return false;
};

/** The registers that make the address. */
const partsOf = (insn: Instruction, state: CpuState): Fact[] =>
  [insn.memoryBase, insn.memoryIndex]
    .filter((one) => one !== Register.None && one !== Register.RIP && one !== Register.EIP)
    .map((one) => {
      const value = readRegister(state, one);
      return { name: Register[one] ?? '?', value, text: hex(value) };
    });

const SEGMENT_NAMES: readonly string[] = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'];

const segment =
  (which: (scene: Scene) => number): Teller =>
  (scene) => {
    const index = which(scene) as Parameters<CpuState['segment']>[0];
    const { selector, base, limit } = scene.state.segment(index);
    const text = `selector ${hex(selector)}, base ${hex(base)}, limit ${hex(limit)}`;
    return [{ name: SEGMENT_NAMES[index] ?? '?', value: BigInt(selector), text }];
  };

const operandSegment = segment(({ engine, insn }) =>
  insn !== undefined && hasMemory(insn) ? memoryPlace(engine, insn).segment : SEG.SS,
);

const stackPointer: Teller = ({ state }) => {
  const value = state.reg(GPR.RSP);
  return [{ name: 'RSP', value, text: hex(value) }];
};

/** Where a near return, an indirect call or jump would go: the value that is no address, and where it stands. */
const branchTarget: Teller = (scene) => {
  const { insn, state } = scene;
  if (insn === undefined) return [];
  if (insn.opCount > 0 && insn.opKind(0) === OpKind.Register) {
    const value = readRegister(state, insn.op0Register);
    return [{ name: 'target', value, text: `${hex(value)}, in ${Register[insn.op0Register] ?? '?'}` }];
  }
  const place = hasMemory(insn) ? memoryAddress(scene, insn) : state.reg(GPR.RSP);
  const value = place === undefined ? undefined : peek(scene, place);
  if (place === undefined || value === undefined) return [];
  const where = hasMemory(insn) ? 'in memory' : 'the top of the stack';
  return [{ name: 'target', value, text: `${hex(value)}, ${where} at ${hex(place)}` }];
};

function memoryAddress({ engine }: Scene, insn: Instruction): bigint | undefined {
  const { segment: index, offset } = memoryPlace(engine, insn);
  const linear = linearAddress(engine, index, offset, 8, false);
  return isFault(linear) ? undefined : linear;
}

/** Eight bytes at a linear address as the page tables stand; undefined where they cannot be read. */
function peek({ state, read }: Scene, linear: bigint): bigint | undefined {
  const walk = walkOf(state, linear, read);
  const physical = walk === undefined ? linear : walk.physical;
  return physical === undefined ? undefined : read(physical, 8);
}

// Selectors and tables -----------------------------------------------------------------------------------------------------

/** The descriptor that the error code names. */
const selector: Teller = (scene) => {
  const { error } = scene.link;
  if (error === undefined) return [];
  const value = BigInt(error & 0xfff8);
  const index = error >> 3;
  if (error & 2) return [{ name: 'IDT vector', value: BigInt(index), text: `${index}` }, ...tableFact(scene, 'IDTR')];
  const inLdt = (error & 4) !== 0;
  const table = inLdt ? scene.state.segment(SEG.LDTR) : scene.state.table(at.GDTR);
  const named = {
    name: 'selector',
    value,
    text: `${hex(error & 0xfffc)}, entry ${index} of the ${inLdt ? 'LDT' : 'GDT'}`,
  };
  const low = Number(value) + 7 > table.limit ? undefined : peek(scene, table.base + value);
  return [
    named,
    { name: inLdt ? 'LDT' : 'GDT', value: table.base, text: `at ${hex(table.base)}, limit ${hex(table.limit)}` },
    ...(low === undefined ? [] : [{ name: 'descriptor', value: low, text: descriptorText(low) }]),
  ];
};

const tableFact = ({ state }: Scene, name: 'GDTR' | 'IDTR'): Fact[] => {
  const { base, limit } = state.table(name === 'GDTR' ? at.GDTR : at.IDTR);
  return [{ name, value: base, text: `base ${hex(base)}, limit ${hex(limit)}` }];
};

const idt: Teller = (scene) => tableFact(scene, 'IDTR');

/** "64-bit code, DPL 0, base 0x0, limit 0xfffff". */
function descriptorText(low: bigint): string {
  const found = decodeDescriptor(low);
  const presence = found.present ? '' : ', not present';
  if (low === 0n) return `${hex(low)}: empty`;
  const range = `base ${hex(found.base)}, limit ${hex(found.limit)}`;
  return `${hex(low)}: ${kindText(found)}, DPL ${found.dpl}${presence}, ${range}`;
}

function kindText(found: Descriptor): string {
  if (!found.isSegment) return systemTypeName(found.type);
  if (!found.isCode) return found.isWritableData ? 'writable data' : 'read-only data';
  return `${found.long ? '64' : found.big ? '32' : '16'}-bit code`;
}

// Page walks ---------------------------------------------------------------------------------------------------------------

const pageWalk: Teller = ({ state, read, link }) => {
  const linear = link.cr2 ?? 0n;
  const walk = walkOf(state, linear, read);
  return walk === undefined ? [] : [...walk.steps.map(stepFact), ...endFact(walk, read)];
};

function stepFact(step: WalkStep): Fact {
  const { table, index, tableAddress, entry, inRam, reserved } = step;
  const where = `${table} at ${hex(tableAddress)}, entry ${index}`;
  return { name: `${table} entry`, value: entry, text: `${where}: ${entryText(entry, inRam, reserved)}` };
}

function entryText(entry: bigint, inRam: boolean, reserved: bigint): string {
  if (!inRam) return 'no memory is there, so it reads as all ones';
  if ((entry & PTE_P) === 0n) return `${hex(entry)}, not present`;
  const names = bitNames('PAGING_ENTRY', entry, ~PTE_ADDRESS);
  const bad = reserved === 0n ? '' : `; reserved and set: ${hex(reserved)}`;
  return `${hex(entry)} (${names.join(', ')})${bad}`;
}

const endFact = ({ physical }: Walk, read: EntryReader): Fact[] =>
  physical === undefined
    ? []
    : [
        {
          name: 'physical address',
          value: physical,
          text: `${hex(physical)}, ${read(physical & ~7n, 8) === undefined ? 'no RAM' : 'RAM'}`,
        },
      ];

// Which values belong to which check -----------------------------------------------------------------------------------------

const CODE = segment(() => SEG.CS);
const STACK = segment(() => SEG.SS);

const TELLERS: Partial<Record<ReasonId, readonly Teller[]>> = {
  'osfxsr-not-enabled': [register('CR4')],
  'x87-emulated': [register('CR0')],
  'task-switched': [register('CR0')],
  'avx-not-enabled': [register('CR4'), register('XCR0')],
  'osxsave-not-enabled': [register('CR4')],
  'vector-misaligned': [operand],
  'fxsave-area-misaligned': [operand],
  'xsave-area-misaligned': [operand],
  'cmpxchg16b-misaligned': [operand],
  'alignment-check': [operand, register('CR0')],
  'address-not-canonical': [operand, register('CR4')],
  'fetch-not-canonical': [register('CR4')],
  'segment-limit': [operand, operandSegment],
  'stack-limit': [stackPointer, STACK],
  'stack-address-not-canonical': [stackPointer],
  'branch-target-not-canonical': [branchTarget],
  'branch-target-beyond-limit': [branchTarget, CODE],
  'fetch-beyond-limit': [CODE],
  'privileged-instruction': [privilege],
  'interrupt-flag-privilege': [privilege],
  'syscall-not-enabled': [register('EFER')],
  'fsgsbase-not-enabled': [register('CR4')],
  'simd-exception-not-enabled': [register('CR4')],
  'cr0-upper-half': [written],
  'cr0-pg-without-pe': [written],
  'cr0-nw-without-cd': [written],
  'long-mode-without-pae': [written, register('CR4'), register('EFER')],
  'long-mode-from-64-bit-code': [written, CODE],
  'long-mode-with-16-bit-tss': [written],
  'cr0-pg-cleared-in-64-bit-mode': [written, register('EFER')],
  'cr0-pg-cleared-with-pcide': [written, register('CR4')],
  'cr3-reserved-bit': [written],
  'cr4-reserved-bit': [written],
  'cr4-pae-cleared-in-long-mode': [written, register('EFER')],
  'cr4-la57-changed-in-long-mode': [written, register('EFER')],
  'cr4-pcide-outside-long-mode': [written, register('EFER')],
  'cr4-pcide-with-pcid': [written],
  'efer-reserved-bit': [number, written],
  'efer-nxe-disabled': [number, written],
  'efer-lme-with-paging': [number, written, register('CR0')],
  'no-such-msr': [number],
  'msr-value-refused': [number, written],
  'apic-msr': [number],
  'xcr0-invalid': [number, written],
  'xsetbv-index': [number],
  'xgetbv-index': [number],
  'idt-limit': [idt],
  'idt-gate-type': [selector],
  'idt-gate-not-present': [selector],
  'idt-gate-privilege': [selector],
  'ivt-limit': [idt],
  'page-not-present': [pageWalk],
  'page-reserved-bit': [pageWalk],
  'page-not-writable': [pageWalk, register('CR0')],
  'page-supervisor-only': [pageWalk],
  'page-no-execute': [pageWalk, register('EFER')],
  smep: [pageWalk, register('CR4')],
  smap: [pageWalk, register('CR4')],
  ...Object.fromEntries(
    (Object.keys(REASONS) as ReasonId[])
      .filter((id) =>
        /^(?:selector|system|lldt|ltr|far-target|gate|task|code-segment|stack-segment|data-segment|return|handler)-/.test(
          id,
        ),
      )
      .map((id) => [id, [selector]]),
  ),
};
