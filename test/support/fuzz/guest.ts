// Puts a machine into a fuzzed guest's starting state: memory, tables, registers of some mode.

import type { PhysAddr } from '../../../src/bits/address.ts';
import * as at from '../../../src/cpu/state/layout.ts';
import { type Segment, SEG, type SegmentIndex } from '../../../src/cpu/state/state.ts';
import type { Machine } from '../../../src/machine/machine.ts';
import * as control from '../../../src/x86/control.ts';
import { MSR_LSTAR, MSR_STAR, MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_EIP, msrSlot } from '../../../src/x86/msr.ts';
import { type Generator, makeCode } from './code.ts';
import { type Mode, pagingCr4, SELECTOR } from './modes.ts';
import * as place from './places.ts';
import type { Source } from './source.ts';
import { rootOf, writeDescriptors, writeHandlers, writePageTables, writePointers, type Write } from './world.ts';

const PRESENT_DATA = 0xc093;
const DATA_SEGMENTS: readonly SegmentIndex[] = [SEG.ES, SEG.SS, SEG.DS, SEG.FS, SEG.GS];

function segmentsOf(mode: Mode): { code: Segment; data: Segment } {
  const dpl = mode.cpl << 5;
  if (mode.kind === 'real') {
    return {
      code: { selector: mode.code, attributes: 0x93, base: BigInt(place.CODE), limit: 0xffff },
      data: { selector: 0, attributes: 0x93, base: 0n, limit: 0xffff },
    };
  }
  if (mode.kind === 'vm86') {
    return {
      code: { selector: mode.code, attributes: 0xf3, base: BigInt(place.CODE), limit: 0xffff },
      data: { selector: 0, attributes: 0xf3, base: 0n, limit: 0xffff },
    };
  }
  const attributes = { 16: 0x009b, 32: 0xc09b, 64: 0xa09b }[mode.bits] | dpl;
  const limit = mode.bits === 16 ? 0xffff : 0xffff_ffff;
  return {
    code: { selector: mode.code, attributes, base: BigInt(mode.codeBase), limit },
    data: { selector: mode.data, attributes: PRESENT_DATA | dpl, base: 0n, limit: 0xffff_ffff },
  };
}

/** Control registers that go with the mode, and any others that the model lets be set with them. */
function setControl(random: Source, mode: Mode, machine: Machine): void {
  const { state } = machine.engine;
  const { features } = machine.config.model;
  const cr0 = mode.kind === 'real' ? 0n : control.CR0_PE | (mode.paging ? control.CR0_PG : 0n);
  const extra = control.CR0_MP | control.CR0_NE | (BigInt(random.below(2)) * (control.CR0_WP | control.CR0_AM));
  const rare = random.percent(5) ? random.pick([control.CR0_EM, control.CR0_TS]) : 0n;
  state.setU64(at.CR0, cr0 | control.CR0_ET | extra | rare);
  const allowed =
    control.cr4Allowed(features) &
    ~(control.CR4_PAE | control.CR4_LA57 | control.CR4_PCIDE | control.CR4_SMEP | control.CR4_SMAP);
  const chosen = (random.u64() & allowed) | (random.percent(90) ? control.CR4_OSFXSR | control.CR4_OSXMMEXCPT : 0n);
  const old = mode.paging === 2 ? control.CR4_PSE : 0n;
  state.setU64(at.CR4, ((chosen | old) & allowed) | pagingCr4(mode.paging));
  const root = rootOf(mode.paging);
  state.setU64(at.CR3, BigInt(root));
  const long = mode.long ? control.EFER_LME | control.EFER_LMA : 0n;
  state.setU64(
    at.EFER,
    long | (random.percent(70) ? control.EFER_SCE : 0n) | (random.percent(70) ? control.EFER_NXE : 0n),
  );
  if (mode.paging !== 3) return;
  for (let i = 0; i < 4; i++)
    state.setU64(at.PDPTE0 + 8 * i, machine.engine.readPhysical((root + 8 * i) as PhysAddr, 8));
}

/** Linear address of the code: where it is, or one of the other places that paging shows it at. */
function linearCode(random: Source, mode: Mode): bigint {
  const plain = BigInt(place.CODE);
  if (mode.kind !== 'protected' || mode.bits === 16 || mode.paging < 2 || random.percent(50)) return plain;
  if (mode.bits === 64 && random.percent(60))
    return plain + random.pick([0xffff_ff80_0000_0000n, 0xffff_8000_0000_0000n]);
  return plain + (mode.paging === 2 ? 0x80_0000n : 0xa0_0000n);
}

function setRegisters(random: Source, mode: Mode, linear: bigint, machine: Machine): void {
  const { state } = machine.engine;
  for (let i = 0; i < 16; i++) {
    const near = BigInt((random.percent(12) ? place.CODE : place.DATA) + random.below(0x4000));
    state.setReg(i, random.percent(60) ? near : random.value());
  }
  state.setReg(1, BigInt(random.below(200)));
  const stack = mode.cpl ? place.USER_STACK : place.KERNEL_STACK;
  state.setReg(4, BigInt(mode.bits === 16 ? 0x9f00 : stack));
  state.rip = linear + BigInt(place.BLOCK * random.below(place.CODE_BYTES / place.BLOCK)) - BigInt(mode.codeBase);
  const flags = (random.u32() & 0xed5) | 2 | (random.percent(3) ? 0x100 : 0);
  const privileged = random.percent(40) ? 0x3000 : 0;
  state.rflags = flags | privileged | (mode.kind === 'vm86' ? 0x2_0000 : 0);
  for (let address = at.XMM; address < at.XMM_END; address += 8) state.setU64(address, random.value());
  for (let i = 0; i < 8; i++) state.setU64(at.ST0 + 16 * i, random.value());
}

function setSegments(mode: Mode, machine: Machine): void {
  const { state } = machine.engine;
  const { code, data } = segmentsOf(mode);
  state.setSegment(SEG.CS, code);
  for (const index of DATA_SEGMENTS) state.setSegment(index, data);
  state.setSegment(SEG.TR, { selector: SELECTOR.tss, attributes: 0x8b, base: BigInt(place.TSS), limit: 0xfff });
  state.setSegment(SEG.LDTR, { selector: SELECTOR.ldt, attributes: 0x82, base: BigInt(place.LDT), limit: 0xff });
  state.setTable(at.GDTR, { base: BigInt(place.GDT), limit: 0x1ff });
  const real = mode.kind === 'real';
  state.setTable(at.IDTR, { base: BigInt(real ? 0 : place.IDT), limit: real ? 0x3ff : 0xfff });
  state.cpl = mode.cpl;
}

function setMsrs(linear: bigint, machine: Machine): void {
  const { state } = machine.engine;
  const set = (number: number, value: bigint): void => state.setU64(at.msrAddress(msrSlot(number)), value);
  set(MSR_STAR, (BigInt(SELECTOR.userCode32) << 48n) | (BigInt(SELECTOR.code64) << 32n));
  set(MSR_LSTAR, linear);
  set(MSR_IA32_SYSENTER_CS, BigInt(SELECTOR.code64));
  set(MSR_IA32_SYSENTER_EIP, linear);
}

/** Timers of earlier lives would only make a sleep last. */
function stopTimers({ engine: { ports } }: Machine): void {
  for (const control of [0x30, 0x70, 0xb0]) ports.out(0x43, 1, control);
  ports.out(0x70, 1, 0x0b);
  ports.out(0x71, 1, 2);
}

/** Begins a new life of the guest: everything it needs is written anew, the chips and the rest stay as they are. */
export function beginLife(random: Source, mode: Mode, generator: Generator, real: Uint8Array, machine: Machine): void {
  const { memory, engine } = machine;
  const write: Write = (address, bytes) => memory.write(address as PhysAddr, Uint8Array.from(bytes));
  const linear = linearCode(random, mode);
  writePageTables(random, write);
  writeDescriptors(random, mode, write);
  writeHandlers(random, mode, linear, write);
  writePointers(random, mode, write);
  write(place.CODE, makeCode(random, mode, generator, real));
  write(
    place.DATA,
    Array.from({ length: 0x1000 }, () => (random.percent(50) ? 0 : random.below(256))),
  );
  setControl(random, mode, machine);
  setSegments(mode, machine);
  setMsrs(linear, machine);
  setRegisters(random, mode, linear, machine);
  for (let i = 0; i < 8; i++) engine.state.setU64(at.DR0 + 8 * i, i === 7 ? 0x400n : i === 6 ? 0xffff_0ff0n : 0n);
  engine.state.setU32(at.HALTED, 0);
  engine.state.setU32(at.INTERRUPT_SHADOW, 0);
  engine.modeChanged();
  engine.flushTlb(true);
  stopTimers(machine);
}
