// Short sequences of guest code by what they do: system registers and tables, page tables, self-modification, strings.
// chips.ts has ports, chips and interrupts.

import { MSR_TABLE } from '../../../src/x86/msr.ts';
import { AX, type Bits, BX, CX, DI, DX, le, memory, mov, push, SI, wide } from './assembler.ts';
import { type Mode, SELECTOR } from './modes.ts';
import * as place from './places.ts';
import type { Source } from './source.ts';
import { randomEntry, rootOf } from './world.ts';

export type Snippet = (random: Source, mode: Mode) => number[];

// System registers and tables -------------------------------------------------------------------------------------------

const CONTROL_BITS: Readonly<Record<number, readonly number[]>> = {
  0: [0, 1, 2, 3, 5, 16, 18, 29, 30, 31],
  4: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 17, 18, 20, 21, 22, 23],
};

/** Flips one bit of CR0 or CR4. */
const flipControl: Snippet = (random, { bits }) => {
  const number = random.pick([0, 4, 4]);
  const bit = random.percent(90) ? random.pick(CONTROL_BITS[number] ?? []) : random.below(32);
  const field = 0xc0 | (number << 3);
  return [0x0f, 0x20, field, ...wide(bits), 0x0f, 0xba, 0xf8, bit, 0x0f, 0x22, field];
};

const ROOTS = [0, 2, 3, 4, 5] as const;

const setControl: Snippet = (random, { bits }) => {
  const number = random.pick([0, 2, 3, 3, 3, 4, 8]);
  const root = BigInt(rootOf(random.pick(ROOTS)) | (random.percent(20) ? random.below(4096) : 0));
  const value = number === 3 && random.percent(80) ? root | (random.percent(10) ? 1n << 63n : 0n) : random.value();
  return [
    ...mov(bits, AX, value),
    ...(number === 8 && bits !== 64 ? [0xf0, 0x0f, 0x22, 0xc0] : [0x0f, 0x22, 0xc0 | (number << 3)]),
  ];
};

const LOW32 = 0xffff_ffffn;
const KNOWN_MSRS = [...MSR_TABLE.map(({ number }) => number), 0x6e0, 0xc000_0084, 0xda0];

const msr: Snippet = (random, mode) => {
  const number = random.percent(60)
    ? random.pick(KNOWN_MSRS)
    : random.percent(70)
      ? 0x800 + random.below(0x40)
      : random.u32();
  const value = random.percent(40) ? BigInt(place.CODE + random.below(place.CODE_BYTES)) : random.value();
  const { bits } = mode;
  const write = [...mov(bits, AX, value & LOW32), ...mov(bits, DX, value >> 32n), ...mov(bits, CX, number), 0x0f, 0x30];
  const read = [...mov(bits, CX, number), 0x0f, 0x32];
  const flip = [...read, ...wide(bits), 0x0f, 0xba, 0xf8, random.pick([0, 8, 10, 11]), 0x0f, 0x30];
  return random.percent(60) ? write : random.percent(50) ? read : flip;
};

const pointer = (random: Source, from = 0, count = 10): number => place.POINTERS + 16 * (from + random.below(count));

const loadTable: Snippet = (random, { bits }) => {
  const idt = random.percent(50);
  const index = 2 * random.below(5) + (idt ? 1 : 0);
  return memory(bits, wide(bits), [0x0f, 0x01], idt ? 3 : 2, place.POINTERS + 16 * index);
};

const selector = (random: Source): number => {
  if (random.percent(40)) return random.pick(Object.values(SELECTOR));
  return random.percent(80) ? (random.below(64) << 3) | random.below(8) : random.below(0x10000);
};

const loadSelector: Snippet = (random, { bits }) => {
  const value = mov(bits, AX, selector(random));
  const segment = [0x8e, 0xc0 | (random.pick([0, 2, 3, 4, 5, 1]) << 3)];
  const system = [0x0f, 0x00, 0xc0 | (random.below(6) << 3)];
  const check = [0x0f, random.pick([0x02, 0x03]), 0xc0 | (random.below(8) << 3)];
  return [...value, ...random.pick([segment, segment, system, check])];
};

const codeOffset = (random: Source, mode: Mode): number => {
  const offset = random.below(place.CODE_BYTES);
  return mode.codeBase ? offset : place.CODE + offset;
};

const farTransfer: Snippet = (random, mode) => {
  const { bits } = mode;
  const offset = codeOffset(random, mode);
  const target = selector(random);
  switch (random.below(4)) {
    case 0:
      return bits === 64
        ? [...push(64, target), ...push(64, offset), 0x48, 0xcb]
        : [random.pick([0x9a, 0xea]), ...le(offset, bits / 8), ...le(target, 2)];
    case 1:
      return memory(bits, [], [0xff], random.pick([3, 5]), pointer(random, 10, 6));
    case 2:
      return [
        ...push(bits, target),
        ...push(bits, offset),
        ...wide(bits),
        random.pick([0xcb, 0xca]),
        ...le(random.below(16), 2),
      ];
    default:
      return memory(
        bits,
        random.percent(30) ? [0x48] : [],
        [0x0f, random.pick([0xb2, 0xb4, 0xb5])],
        random.below(8),
        pointer(random, 10, 6),
      );
  }
};

const FLAG_BITS = [
  0x100, 0x200, 0x1000, 0x2000, 0x3000, 0x4000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000, 0x400, 0x800,
];

const flagsValue = (random: Source): number =>
  2 | random.pick(FLAG_BITS) | (random.percent(40) ? random.pick(FLAG_BITS) : 0);

const setFlags: Snippet = (random, { bits }) => [...push(bits, flagsValue(random)), ...wide(bits), 0x9d];

const interruptReturn: Snippet = (random, mode) => {
  const { bits } = mode;
  const entries = [
    codeOffset(random, mode),
    random.percent(60) ? mode.code : selector(random),
    flagsValue(random),
    random.percent(80) ? place.USER_STACK : random.u32(),
    random.percent(60) ? mode.data : selector(random),
  ];
  const vm = random.percent(30) ? [0, 0, 0, 0].map(() => random.below(0x3000)) : [];
  const frame = [...entries, ...vm].reverse();
  return [...frame.flatMap((entry) => push(bits, entry)), ...(bits === 64 ? [0x48] : wide(bits)), 0xcf];
};

const softwareInterrupt: Snippet = (random) =>
  random.pick([[0xcd, random.below(256)], [0xcd, 0x80], [0xcc], [0xf1], [0xce], [0x0f, 0x0b], [0xd5, 0]]);

const systemCall: Snippet = (random, mode) => {
  const target = BigInt(codeOffset(random, mode));
  const rip = random.percent(90) ? target : random.value();
  return [
    ...mov(mode.bits, CX, rip),
    ...mov(mode.bits, DX, rip),
    ...(mode.bits === 64 ? [0x49, 0xc7, 0xc3, ...le(flagsValue(random), 4)] : []),
    ...random.pick([
      [0x0f, 0x05],
      [0x0f, 0x07],
      [0x48, 0x0f, 0x07],
      [0x0f, 0x34],
      [0x0f, 0x35],
      [0x48, 0x0f, 0x35],
    ]),
  ];
};

const debugRegister: Snippet = (random, mode) => {
  const number = random.below(8);
  const address = random.percent(50) ? codeOffset(random, mode) : place.DATA + random.below(64);
  const control = random.percent(70) ? random.u32() & 0xffff_23ff : random.value();
  return [
    ...mov(mode.bits, AX, number === 7 ? control : number < 4 ? address : random.value()),
    0x0f,
    0x23,
    0xc0 | (number << 3),
  ];
};

const saveOrRestore: Snippet = (random, { bits }) => {
  const address = place.DATA + (random.below(16) << 6) + (random.percent(10) ? random.below(64) : 0);
  const forms: readonly [number[], number][] = [
    [[0x0f, 0xae], random.below(8)],
    [[0x0f, 0xc7], random.below(8)],
    [[0xd9], random.pick([4, 5, 6, 7])],
    [[0xdd], random.pick([4, 6, 7])],
    [[0xdb], 5],
  ];
  const [opcode, field] = random.pick(forms);
  return [
    ...mov(bits, AX, random.pick([-1, 0, 7])),
    ...mov(bits, DX, random.pick([-1, 0])),
    ...memory(bits, random.percent(40) && bits === 64 ? [0x48] : [], opcode, field, address),
  ];
};

const flush: Snippet = (random, { bits }) =>
  random.pick([
    memory(bits, [], [0x0f, 0x01], 7, somePage(random)),
    memory(bits, [0x66], [0x0f, 0x38, 0x82], random.below(8), place.DATA),
    [0x0f, 0x08],
    [0x0f, 0x09],
    [0x0f, 0xa2],
    [...mov(bits, CX, 0), ...mov(bits, AX, random.pick([1, 3, 7, 2, 0xe7])), ...mov(bits, DX, 0), 0x0f, 0x01, 0xd1],
    [0x0f, 0x01, 0xf8],
    [0x0f, 0x30],
  ]);

const somePage = (random: Source): number =>
  random.pick([place.CODE, place.DATA, place.DATA + 0x1000, place.TABLES, 0xa0000]);

/** Switches, where the mode allows it, to a task by its TSS descriptor or through a gate. */
const task: Snippet = (random, { bits }) => {
  const target = (14 + random.below(50)) << 3;
  if (random.percent(30)) return [...push(bits, 0x4002), ...wide(bits), 0x9d, ...wide(bits), 0xcf];
  return bits === 64
    ? [...mov(bits, AX, target), 0x0f, 0x00, 0xd8]
    : [random.pick([0x9a, 0xea]), ...le(0, bits / 8), ...le(target, 2)];
};

export const SYSTEM: readonly Snippet[] = [
  flipControl,
  setControl,
  msr,
  msr,
  loadTable,
  loadSelector,
  loadSelector,
  farTransfer,
  farTransfer,
  setFlags,
  interruptReturn,
  softwareInterrupt,
  systemCall,
  debugRegister,
  saveOrRestore,
  flush,
  task,
];

// Page tables -----------------------------------------------------------------------------------------------------------

const storeEntry: Snippet = (random, { bits }) => {
  const entry =
    place.TABLES +
    random.below(9) * 0x1000 +
    (random.percent(70) ? 8 * (0x10 + random.below(0x30)) : 8 * random.below(512));
  const value = randomEntry(random);
  const half = (offset: number, word: bigint): number[] => [
    ...memory(bits, wide(bits), [0xc7], 0, entry + offset),
    ...le(word, 4),
  ];
  return [...half(0, value & 0xffff_ffffn), ...(random.percent(50) ? half(4, value >> 32n) : [])];
};

const reload: Snippet = (random, { bits }) =>
  random.percent(50) ? [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8] : memory(bits, [], [0x0f, 0x01], 7, somePage(random));

/** Runs what stands in a page table, a data page, a device or nothing. */
const jumpAnywhere: Snippet = (random, { bits }) => {
  const [start] = random.pick(place.RANGES);
  return [...mov(bits, AX, start + random.below(0x1000)), 0xff, random.pick([0xe0, 0xd0])];
};

const touch: Snippet = (random, { bits }) => {
  const address = place.anywhere.address(random);
  return [
    ...mov(bits, BX, address),
    ...random.pick([
      [0x8b, 0x03],
      [0x89, 0x03],
      [0x86, 0x03],
      [0xff, 0x03],
    ]),
  ];
};

export const PAGING: readonly Snippet[] = [storeEntry, storeEntry, reload, jumpAnywhere, touch, touch];

// Self-modification and strings -----------------------------------------------------------------------------------------

/** An address of code: often near the edge of a page. */
const codeAddress = (random: Source): number => {
  const offset = random.percent(30) ? 0x1000 * (1 + random.below(3)) - random.below(8) : random.below(place.CODE_BYTES);
  return place.CODE + offset;
};

const patch: Snippet = (random, { bits }) => {
  const address = codeAddress(random) + (random.percent(20) ? 0xa0_0000 : 0);
  const byte = [...memory(bits, [], [0xc6], 0, address), random.pick([0x90, 0xcc, 0x40, 0xeb, random.below(256)])];
  const dword = [...memory(bits, wide(bits), [0xc7], 0, address), ...le(random.u32(), 4)];
  return random.percent(60) ? byte : dword;
};

/** POP BX, XOR BYTE [BX+5]: the byte behind the instruction. */
const PATCH_AT_RETURN = (bits: Bits): number[] => [0x5b, 0x80, bits === 16 ? 0x77 : 0x73, 5];

/** Changes the instruction right behind itself. */
const patchNext: Snippet = (random, { bits }) => {
  if (bits !== 64) return [0xe8, ...le(0, bits / 8), ...PATCH_AT_RETURN(bits), random.below(256), 0x90, 0x90, 0x90];
  const store = [0xc6, 0x05, ...le(random.below(6), 4), random.pick([0x90, 0x40, 0xcc, random.below(256)])];
  return [...store, 0x90, 0x48, 0xff, 0xc0, 0x90, 0x90];
};

/** Writes a few instructions and runs them. */
const justInTime: Snippet = (random, mode) => {
  const address = codeAddress(random);
  const ip = mode.codeBase ? address - place.CODE : address;
  const code = random.pick([0xc3c3_c340, 0x9090_c348, 0xc390_9090, 0x40c3_4048]) >>> 0;
  return [
    ...memory(mode.bits, wide(mode.bits), [0xc7], 0, address),
    ...le(code, 4),
    ...mov(mode.bits, AX, ip),
    0xff,
    0xd0,
  ];
};

/** Counts for repeated string instructions. */
export const COUNTS = [0, 1, 2, 3, 7, 16, 64, 255, 4096, 0x7fff, 0x1_0000, -1];

const string: Snippet = (random, { bits }) => {
  const where = (): number =>
    random.pick([place.DATA, place.somewhere.address(random), place.anywhere.address(random), codeAddress(random)]);
  const count = random.percent(85) ? random.pick(COUNTS.slice(0, 8)) : random.pick(COUNTS);
  const opcode = random.pick([0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xa7, 0xac, 0xad, 0xae, 0xaf]);
  const sizes = [
    ...(random.percent(20) ? [0x66] : []),
    ...(random.percent(20) ? [0x67] : []),
    ...(random.percent(10) ? [0x64] : []),
  ];
  return [
    ...mov(bits, SI, where()),
    ...mov(bits, DI, where()),
    ...mov(bits, CX, count),
    ...(random.percent(20) ? [0xfd] : []),
    ...sizes,
    random.pick([0xf3, 0xf3, 0xf2]),
    ...(bits === 64 && random.percent(30) ? [0x48] : []),
    opcode,
    0xfc,
  ];
};

export const MODIFYING: readonly Snippet[] = [patch, patch, patchNext, justInTime, string, string];
