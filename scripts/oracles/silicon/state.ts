// The input of one vector while it is being made: registers, flags and the blocks of memory it may touch.
import { Register, RegisterExt } from 'iced-x86';
import {
  BACKGROUND_RFLAGS,
  BLOCK_BYTES,
  type FpuState,
  REGIONS,
  REGION_NAMES,
  type RegionName,
  type VectorMode,
  backgroundBlock,
  backgroundRegister,
} from '../../../test/vectors/layout.ts';

export interface State {
  mode: VectorMode;
  regs: bigint[];
  rflags: number;
  blocks: Map<RegionName, Uint8Array>;
  /** Only in the families that show it. */
  fpu?: FpuState;
}

/** A general register or a part of one: `high` is AH, CH, DH or BH, whose `index` is that of RAX, RCX, RDX, RBX. */
export interface RegisterPart {
  index: number;
  bits: number;
  high: boolean;
}

export function backgroundState(mode: VectorMode): State {
  return {
    mode,
    regs: Array.from({ length: 16 }, (_, index) => backgroundRegister(mode, index)),
    rflags: BACKGROUND_RFLAGS,
    blocks: new Map(),
  };
}

/** The part that an iced register number names; undefined if it is no general register. */
export function registerPart(register: Register): RegisterPart | undefined {
  if (!RegisterExt.isGPR(register)) return undefined;
  const high = register >= Register.AH && register <= Register.BH;
  const index = RegisterExt.fullRegister(register) - Register.RAX;
  return { index, bits: RegisterExt.size(register) * 8, high };
}

export function readPart(state: State, part: RegisterPart): bigint {
  const value = (state.regs[part.index] ?? 0n) >> (part.high ? 8n : 0n);
  return BigInt.asUintN(part.bits, value);
}

/** Sets a part and leaves the rest of its register as it is, upper half included. */
export function writePart(state: State, part: RegisterPart, value: bigint): void {
  const shift = part.high ? 8n : 0n;
  const mask = ((1n << BigInt(part.bits)) - 1n) << shift;
  const old = state.regs[part.index] ?? 0n;
  state.regs[part.index] = (old & ~mask) | ((value << shift) & mask);
}

export function regionOf(address: bigint): RegionName | undefined {
  return REGION_NAMES.find(
    (name) => address >= REGIONS[name].block && address < REGIONS[name].block + BigInt(BLOCK_BYTES),
  );
}

export function blockOf(state: State, region: RegionName): Uint8Array {
  const block = state.blocks.get(region) ?? backgroundBlock();
  state.blocks.set(region, block);
  return block;
}

/** Writes a little-endian value of `bits` bits; what falls outside the block is dropped. */
export function writeMemory(state: State, address: bigint, bits: number, value: bigint): void {
  const region = regionOf(address);
  if (!region) return;
  const block = blockOf(state, region);
  const start = Number(address - REGIONS[region].block);
  for (let byte = 0; byte < bits / 8; byte++) {
    if (start + byte < BLOCK_BYTES) block[start + byte] = Number((value >> BigInt(byte * 8)) & 0xffn);
  }
}

/** Reads a little-endian value of `bits` bits; bytes outside the block count as 0. */
export function readMemory(state: State, address: bigint, bits: number): bigint {
  const region = regionOf(address);
  if (!region) return 0n;
  const block = blockOf(state, region);
  const start = Number(address - REGIONS[region].block);
  let value = 0n;
  for (let byte = bits / 8 - 1; byte >= 0; byte--) value = (value << 8n) | BigInt(block[start + byte] ?? 0);
  return value;
}
