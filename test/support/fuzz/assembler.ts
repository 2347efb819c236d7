// The few instructions the fuzzer writes by hand, in the three code sizes. Addresses are offsets in a flat segment.

export type Bits = 16 | 32 | 64;

export const le = (value: bigint | number, bytes: number): number[] => {
  const whole = BigInt.asUintN(64, BigInt(value));
  return Array.from({ length: bytes }, (_, i) => Number((whole >> BigInt(8 * i)) & 0xffn));
};

export const AX = 0;
export const CX = 1;
export const DX = 2;
export const BX = 3;
export const BP = 5;
export const SI = 6;
export const DI = 7;

const fits32 = (value: bigint): boolean => value >= 0n && value < 1n << 32n;

/** MOV register, constant: the whole register, as far as the mode has it. */
export function mov(bits: Bits, register: number, constant: bigint | number): number[] {
  const value = BigInt.asUintN(64, BigInt(constant));
  const small = [0xb8 + register, ...le(value, 4)];
  if (bits === 16) return [0x66, ...small];
  return bits === 32 || fits32(value) ? small : [0x48, 0xb8 + register, ...le(value, 8)];
}

/** An instruction with a memory operand at a constant address below 2 GiB. @param prefixes and opcode as bytes */
export function memory(
  bits: Bits,
  prefixes: readonly number[],
  opcode: readonly number[],
  register: number,
  address: number,
): number[] {
  const field = register << 3;
  const operand = bits === 64 ? [0x04 | field, 0x25, ...le(address, 4)] : [0x05 | field, ...le(address, 4)];
  return [...(bits === 16 ? [0x67] : []), ...prefixes, ...opcode, ...operand];
}

/** The prefix that makes operands 32 bits wide. */
export const wide = (bits: Bits): number[] => (bits === 16 ? [0x66] : []);

/** PUSH constant, as wide as the stack's entries are. */
export const push = (bits: Bits, constant: number): number[] => [...wide(bits), 0x68, ...le(constant, 4)];
