// The position-independent form of an instruction that carries an absolute address, where there is one of the same length
// (Intel SDM 2, "Instruction format"): it computes the same link address from RIP, so it is right wherever the code runs.
//   REX.W c7 /0 imm32      mov $x,%r64        ->  REX.W 8d /r disp32           lea x(%rip),%r64
//   [REX] c7 /0 imm32      mov $x,%r32        ->  [REX] 8d /r disp32           lea x(%rip),%r32
//   REX.W b8+r imm64       movabs $x,%r64     ->  the lea, and a nop of three bytes
//   op /r SIB=25 disp32    op x,%r (no base)  ->  3e op /r disp32              op x(%rip),%r; DS means nothing in 64-bit code
// An immediate of another operation has none: no instruction compares, stores or adds an address that it computes. Nor has
// a displacement on a base or index: RIP is a base of its own.
import { putU32, viewOf } from '../bits/cursor.ts';
import { leaBytes, REGISTERS, repairedMovBytes } from './mutant.ts';
import type { Reference } from './references.ts';

const NOP3 = [0x0f, 0x1f, 0x00] as const;

/**
 * Undefined where there is none. The code that follows must take the value as it is: one that it corrects by hand is wrong
 * if it is right already.
 * @param bytes of the instruction  @param at its link address, as an offset from where `bytes`' constants count from
 */
export function positionIndependentForm(
  { form, offset }: Pick<Reference, 'form' | 'offset'>,
  bytes: Uint8Array,
  at: number,
): Uint8Array | undefined {
  if (form === 'mov-imm32-rex') return repairedMovBytes(bytes, at);
  if (form === 'mov-imm32') return repairedMov32(bytes, at);
  if (form === 'movabs') return repairedMovabs(bytes, at);
  return form === 'disp32' ? ripRelative(bytes, offset, at) : undefined;
}

/** What a linker makes of a 32-bit load from the GOT; the short form (b8+r) is a byte too short for a lea. */
function repairedMov32(bytes: Uint8Array, at: number): Uint8Array | undefined {
  const opcode = bytes.length - 6;
  const [rex = 0x40] = opcode === 1 ? bytes : [];
  const modrm = bytes[opcode + 1] ?? 0;
  if (opcode < 0 || opcode > 1 || (rex & 0xfe) !== 0x40 || bytes[opcode] !== 0xc7 || (modrm & 0xf8) !== 0xc0)
    return undefined;
  const out = new Uint8Array(bytes.length);
  if (opcode === 1) out[0] = 0x40 | ((rex & 1) << 2);
  out[opcode] = 0x8d;
  out[opcode + 1] = 0x05 | ((modrm & 7) << 3);
  putU32(out, opcode + 2, (viewOf(bytes).getInt32(opcode + 2, true) - (at + bytes.length)) >>> 0);
  return out;
}

function repairedMovabs(bytes: Uint8Array, at: number): Uint8Array | undefined {
  const [rex = 0, opcode = 0] = bytes;
  if (bytes.length !== 10 || (rex & 0xfe) !== 0x48 || (opcode & 0xf8) !== 0xb8) return undefined;
  const target = viewOf(bytes).getBigInt64(2, true);
  const displacement = target - BigInt(at + 7);
  const register = REGISTERS[((rex & 1) << 3) | (opcode & 7)];
  if (register === undefined || BigInt.asIntN(32, displacement) !== displacement) return undefined;
  return Uint8Array.from([...leaBytes(register, Number(displacement)), ...NOP3]);
}

const DS_PREFIX = 0x3e;
/** ModRM: a SIB byte follows, no displacement of its own. SIB: no base, no index, a 32-bit displacement. */
const MODRM_SIB = 0x04;
const SIB_DISP32 = 0x25;

/** @param offset of the displacement; an immediate may stand behind it */
function ripRelative(bytes: Uint8Array, offset: number, at: number): Uint8Array | undefined {
  const sib = offset - 1;
  const modrm = bytes[sib - 1] ?? 0;
  if (sib < 2 || bytes[sib] !== SIB_DISP32 || (modrm & 0xc7) !== MODRM_SIB) return undefined;
  const target = viewOf(bytes).getInt32(offset, true);
  const out = new Uint8Array(bytes);
  out[0] = DS_PREFIX;
  out.set(bytes.subarray(0, sib - 1), 1);
  out[sib] = modrm | 0x01;
  putU32(out, offset, (target - (at + bytes.length)) >>> 0);
  return out;
}
