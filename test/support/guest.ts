// Guests of a few instructions, as images and as machines ready to run. What they run is a list of assembler.ts.
import type { PhysAddr } from '../../src/bits/address.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { Machine } from '../../src/machine/machine.ts';
import type { MachineConfig } from '../../src/machine/pc.ts';
import type { RunConfig } from '../../src/run/run.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { makeElf32, multibootHeader } from '../boot/programs.ts';
import { concat, makeBzImage, makeElf } from '../image/synthetic.ts';
import { assemble, assembleAt, type Item, x86 } from './assembler.ts';

const { mov, out } = x86;

/** Where an ELF guest lies and is entered. */
export const ENTRY = 0x1000000n;
const MULTIBOOT_HEADER = multibootHeader(0);
/** Where a Multiboot guest is entered: at 1 MiB, behind its header. */
export const MULTIBOOT_ENTRY = 0x100000 + MULTIBOOT_HEADER.length;
/** Offset of a bzImage's 64-bit entry in its protected-mode part. */
export const ENTRY_64 = 0x200;
/** Where a guest in real mode lies, and where its stack begins. */
const REAL_MODE = 0x1000;
const REAL_MODE_STACK = 0x8000n;

/** Powers the machine off through the ACPI registers. */
export const POWER_OFF: readonly Item[] = [mov('dx', 0x604), mov('ax', 0x3400), out('dx', 'ax')];

/** An ELF image of 64-bit code, entered at its first byte. @param at its physical and virtual address */
export function elfGuest(code: readonly Item[], at = ENTRY): Uint8Array {
  const bytes = assemble(64, at, code);
  const memSize = BigInt(Math.max(bytes.length, 0x1000));
  return makeElf({ segments: [{ physAddr: at, virtAddr: at, memSize, bytes }], entry: at });
}

/** A Multiboot program: 32-bit code behind a header that asks for nothing. */
export function multibootGuest(code: readonly Item[]): Uint8Array {
  const bytes = concat([MULTIBOOT_HEADER, assemble(32, MULTIBOOT_ENTRY, code)]);
  return makeElf32({ bytes, entry: MULTIBOOT_ENTRY });
}

/** A bzImage, linked at 0, with 64-bit code at its 64-bit entry. @param entry32 32-bit code at its first byte */
export function bzImageGuest(
  code: readonly Item[],
  entry32: readonly Item[] = ['@stop', x86.jmp('@stop')],
): Uint8Array {
  const head = new Uint8Array(ENTRY_64);
  head.set(assemble(32, 0, entry32));
  return makeBzImage({ code: concat([head, assemble(64, ENTRY_64, code)]) });
}

/** A run of an image to its end, on a machine of 64 MiB. */
export const configOf = (image: Uint8Array, more: Partial<RunConfig> = {}): RunConfig => ({
  ...{ image, cpu: 'max', memoryBytes: 64 << 20, cmdline: '', until: 'end', seed: 0 },
  maxInstructions: 1_000_000n,
  ...more,
});

/**
 * A machine of 64 KiB before 16-bit code in real mode, with CS and DS at 0 and no limit on them.
 * @param vectors labels of handlers by vector
 */
export function realMode(
  code: readonly Item[],
  vectors: Readonly<Record<number, `@${string}`>> = {},
  config: Partial<MachineConfig> = {},
): Machine {
  const model = withApic(cpuModel('max'));
  const machine = new Machine({ model, ram: [{ start: 0, end: 0x10000 }], seed: 0, ...config });
  const { bytes, labels } = assembleAt(16, REAL_MODE, code);
  machine.memory.write(REAL_MODE as PhysAddr, bytes);
  for (const [vector, label] of Object.entries(vectors)) {
    const handler = Number(labels.get(label));
    machine.memory.write((4 * Number(vector)) as PhysAddr, Uint8Array.of(handler & 0xff, handler >> 8, 0, 0));
  }
  const { state } = machine.engine;
  for (const index of [SEG.CS, SEG.DS] as const) {
    const { attributes } = state.segment(index);
    state.setSegment(index, { selector: 0, base: 0n, limit: 0xffff_ffff, attributes });
  }
  state.setReg(4, REAL_MODE_STACK);
  state.rip = BigInt(REAL_MODE);
  machine.engine.modeChanged();
  return machine;
}

/** A byte written to a port below 256. */
export const outByte = (port: number, value: number): readonly Item[] => [mov('al', value), out(port, 'al')];

/** The 8259A pair at vectors `base` and on. @param masks inputs that are masked, of the master and of the slave */
export const initialize8259 = (base: number, masks: readonly [number, number]): readonly Item[] => [
  ...[0x11, base, 0x04, 0x01].flatMap((word, i) => outByte(i === 0 ? 0x20 : 0x21, word)),
  ...outByte(0x21, masks[0]),
  ...(masks[1] === 0 ? [] : outByte(0xa1, masks[1])),
];

/** 8254, channel 0, mode 2. @param count clocks of 1.193182 MHz between two ticks */
export const tickEvery = (count: number): readonly Item[] => [
  ...outByte(0x43, 0x34),
  ...outByte(0x40, count & 0xff),
  ...outByte(0x40, count >> 8),
];
