// Ways to address memory. A shape is chosen when an instruction is encoded (registers, scale, displacement); for each
// vector the registers are then solved so that the address falls where we want it.
import { type Instruction, OpKind, Register } from 'iced-x86';
import { GS_BASE, REGIONS, type RegionName, type VectorMode } from '../../../test/vectors/layout.ts';
import type { Random } from './random.ts';
import type { State } from './state.ts';

export const ADDRESS_SHAPES = [
  'base',
  'base+disp8',
  'base+disp32',
  'base+index',
  'base+index+disp8',
  'base+index+disp32',
  'index+disp32',
  'disp',
  'stack pointer+disp8',
  'other address size',
  'segment',
  'high',
  'rip',
] as const;
export type AddressShape = (typeof ADDRESS_SHAPES)[number];

export interface AddressPlan {
  region: RegionName;
  /** Indexes of the registers that make the address, to be kept out of other uses. */
  registers: number[];
  /** Sets those registers for an address near `wanted` and returns the linear address that results. */
  solve: (state: State, wanted: bigint, random: Random) => bigint;
}

interface Fields {
  base: Register;
  index: Register;
  scale: number;
  disp: bigint;
  dispSize: number;
  segment: Register;
}

const number = (register: Register, bits: number): number =>
  register === Register.None ? -1 : register - (bits === 64 ? Register.RAX : bits === 32 ? Register.EAX : Register.AX);

function setMemory(instruction: Instruction, operand: number, fields: Fields): void {
  instruction.setOpKind(operand, OpKind.Memory);
  instruction.memoryBase = fields.base;
  instruction.memoryIndex = fields.index;
  instruction.memoryIndexScale = fields.scale;
  instruction.memoryDisplacement = fields.disp;
  instruction.memoryDisplSize = fields.dispSize;
  instruction.segmentPrefix = fields.segment;
}

const NO_FIELDS: Fields = {
  base: Register.None,
  index: Register.None,
  scale: 1,
  disp: 0n,
  dispSize: 0,
  segment: Register.None,
};

function pickRegister(bits: number, mode: VectorMode, random: Random, except: readonly number[]): Register {
  const first = bits === 64 ? Register.RAX : Register.EAX;
  for (;;) {
    const index = random.below(mode === 64 ? 16 : 8);
    if (index !== 4 && !except.includes(index)) return first + index;
  }
}

// Small displacements of both signs, or anything that fits.
function displacement(size: 8 | 32, random: Random): bigint {
  const wide = size === 32 && random.chance(70);
  return BigInt.asIntN(wide ? 31 : 8, random.bits(32)) || 1n;
}

const neutralSegments = (mode: VectorMode): Register[] =>
  mode === 64
    ? [Register.CS, Register.DS, Register.ES, Register.SS]
    : [Register.DS, Register.ES, Register.SS, Register.CS];

function fieldsOf(
  shape: AddressShape,
  bits: number,
  mode: VectorMode,
  avoid: readonly number[],
  random: Random,
): Fields {
  const fields = { ...NO_FIELDS };
  const takes = (part: string): boolean => shape.includes(part);
  if (takes('base') || shape === 'segment' || shape === 'other address size' || shape === 'high') {
    fields.base = pickRegister(bits, mode, random, avoid);
  }
  if (takes('index') || (shape === 'other address size' && random.chance(50))) {
    fields.index = pickRegister(bits, mode, random, avoid);
    fields.scale = random.pick([1, 2, 4, 8]);
  }
  if (takes('disp8')) [fields.disp, fields.dispSize] = [displacement(8, random), 1];
  if (takes('disp32') || shape === 'other address size' || (shape === 'high' && random.chance(50))) {
    [fields.disp, fields.dispSize] = [displacement(32, random), bits === 64 ? 8 : 4];
  }
  if (shape === 'stack pointer+disp8') {
    // Close enough that the address and the stack pointer both stay in the stack's block.
    [fields.base, fields.disp, fields.dispSize] = [
      bits === 64 ? Register.RSP : Register.ESP,
      BigInt(random.below(0x60) - 0x30),
      1,
    ];
  }
  if (shape === 'segment')
    fields.segment = random.pick([...neutralSegments(mode), ...(mode === 64 ? [Register.GS] : [])]);
  return fields;
}

// 16-bit addressing (Intel SDM vol. 2, table 2-1): eight combinations, each wraps at 64 KiB.
const PAIRS_16 = [
  [Register.BX, Register.SI],
  [Register.BX, Register.DI],
  [Register.BP, Register.SI],
  [Register.BP, Register.DI],
  [Register.SI, Register.None],
  [Register.DI, Register.None],
  [Register.BP, Register.None],
  [Register.BX, Register.None],
  [Register.None, Register.None],
] as const;

const aligned = (value: bigint, align: bigint): bigint => value - (value % align);

function plan16(instruction: Instruction, operand: number, align: bigint, random: Random): AddressPlan {
  const [base, index] = random.pick(PAIRS_16);
  const dispSize = base === Register.None ? 2 : random.pick([0, 1, 2]);
  const inBlock = REGIONS.L.block + 0x40n + aligned(BigInt(random.below(0x60)), align);
  const disp =
    base === Register.None ? inBlock : dispSize === 0 ? 0n : BigInt.asIntN(dispSize * 8, random.bits(dispSize * 8));
  setMemory(instruction, operand, { ...NO_FIELDS, base, index, disp: BigInt.asUintN(16, disp), dispSize });
  const registers = [number(base, 16), number(index, 16)].filter((register) => register >= 0);
  const solve = (state: State, wanted: bigint, random: Random): bigint => {
    if (base === Register.None) return inBlock;
    const indexValue = random.bits(16);
    const set = (register: Register, value: bigint): void => {
      const at = number(register, 16);
      state.regs[at] = ((state.regs[at] ?? 0n) & ~0xffffn) | BigInt.asUintN(16, value);
    };
    if (index !== Register.None) set(index, indexValue);
    set(base, wanted - disp - (index === Register.None ? 0n : indexValue));
    return wanted;
  };
  return { region: 'L', registers, solve };
}

/** A fixed address: displacement only, or relative to RIP. */
function planFixed(
  instruction: Instruction,
  operand: number,
  shape: AddressShape,
  mode: VectorMode,
  align: bigint,
  random: Random,
): AddressPlan {
  const address = REGIONS.D.block + 0x40n + aligned(BigInt(random.below(0x60)), align);
  const base = shape === 'rip' ? Register.RIP : Register.None;
  setMemory(instruction, operand, { ...NO_FIELDS, base, disp: address, dispSize: mode === 64 ? 8 : 4 });
  return { region: 'D', registers: [], solve: () => address };
}

function indexValue(bits: number, random: Random): bigint {
  return BigInt.asUintN(bits, random.pick([random.bits(5), -random.bits(5), random.bits(bits), random.bits(28)]));
}

// Sets a register to a value of `bits` bits. Above a 32-bit address stands rubbish, which must not count.
function setAddressRegister(state: State, at: number, bits: number, value: bigint, random: Random): void {
  const above = bits === 32 && state.mode === 64 ? random.bits(32) << 32n : 0n;
  state.regs[at] = BigInt.asUintN(bits, value) | above;
}

function planRegisters(fields: Fields, bits: number, region: RegionName, stack: boolean): AddressPlan {
  const base = number(fields.base, bits);
  const index = number(fields.index, bits);
  const scale = BigInt(fields.scale);
  const origin = fields.segment === Register.GS ? GS_BASE : 0n;
  const solve = (state: State, wanted: bigint, random: Random): bigint => {
    const rest = wanted - origin - fields.disp;
    if (base < 0) {
      // Index alone: the address is the nearest one that the scale allows.
      const units = BigInt.asUintN(bits, rest) / scale;
      setAddressRegister(state, index, bits, units, random);
      return origin + BigInt.asUintN(bits, units * scale + fields.disp);
    }
    if (index < 0 || index === base) {
      const units = index < 0 ? 1n : 1n + scale;
      const value = BigInt.asUintN(bits, rest) / units;
      setAddressRegister(state, base, bits, value, random);
      return origin + BigInt.asUintN(bits, value * units + fields.disp);
    }
    const offset = indexValue(bits, random);
    setAddressRegister(state, index, bits, offset, random);
    setAddressRegister(state, base, bits, rest - offset * scale, random);
    return wanted;
  };
  return { region: stack ? 'S' : region, registers: [base, index].filter((register) => register >= 0), solve };
}

/**
 * Writes a memory operand of the given shape into `instruction` and returns how to aim it. `avoid` holds register
 * indexes that must not be used (the stack pointer is used only by its own shape, which addresses the stack's block).
 * `align` is for addresses that stand in the instruction itself.
 */
export function planAddress(
  instruction: Instruction,
  operand: number,
  shape: AddressShape,
  mode: VectorMode,
  avoid: readonly number[],
  random: Random,
  align = 1n,
): AddressPlan {
  const other = shape === 'other address size';
  const natural = mode === 64 ? 64 : 32;
  // In 16-bit code, 32-bit addresses are the other size; the plain shapes keep 32-bit ones half of the time.
  if (mode === 16 ? !other && random.chance(50) : mode === 32 && other)
    return plan16(instruction, operand, align, random);
  if (shape === 'disp' || (shape === 'rip' && mode === 64)) {
    return planFixed(instruction, operand, shape, mode, align, random);
  }
  const bits = mode === 64 && other ? 32 : natural;
  const usable = shape === 'rip' || (shape === 'high' && mode !== 64) ? 'base+disp8' : shape;
  const fields = fieldsOf(usable, bits, mode, avoid, random);
  setMemory(instruction, operand, fields);
  const region: RegionName = usable === 'high' ? 'H' : 'D';
  return planRegisters(fields, bits, region, usable === 'stack pointer+disp8');
}

/** A gather's operand: base and displacement lead to where an index of 0 would. */
export function planVectorIndex(
  instruction: Instruction,
  operand: number,
  index: Register,
  mode: VectorMode,
  random: Random,
): AddressPlan {
  const bits = mode === 64 && random.chance(80) ? 64 : 32;
  const fields = fieldsOf(random.pick(['base', 'base+disp8', 'base+disp32'] as const), bits, mode, [], random);
  setMemory(instruction, operand, { ...fields, index, scale: random.pick([1, 2, 4, 8]) });
  return planRegisters(fields, bits, 'D', false);
}
