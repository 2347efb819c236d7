// The position-independent form of an instruction that carries an absolute address, where there is one of the same length
// (Intel SDM 2, "Instruction format"): it computes the same link address from RIP, so it is right wherever the code runs.
//   REX.W c7 /0 imm32      mov $x,%r64        ->  REX.W 8d /r disp32           lea x(%rip),%r64
//   [REX] c7 /0 imm32      mov $x,%r32        ->  [REX] 8d /r disp32           lea x(%rip),%r32
//   REX.W b8+r imm64       movabs $x,%r64     ->  the lea, and a nop of three bytes
//   op /r SIB=25 disp32    op x,%r (no base)  ->  3e op /r disp32              op x(%rip),%r; DS means nothing in 64-bit code
// An immediate of another operation has none: no instruction compares or adds an address that it computes.
import { putU32, viewOf } from '../bits/cursor.ts';
import { leaBytes, REGISTERS, repairedMovBytes } from './mutant.ts';
import type { ReferenceForm } from './references.ts';

const NOP3 = [0x0f, 0x1f, 0x00] as const;

/** @param bytes of the instruction  @param at its link address, as an offset from where `bytes`' constants count from */
export function positionIndependentForm(form: ReferenceForm, bytes: Uint8Array, at: number): Uint8Array | undefined {
  if (form === 'mov-imm32-rex') return repairedMovBytes(bytes, at);
  if (form === 'mov-imm32') return repairedMov32(bytes, at);
  if (form === 'movabs') return repairedMovabs(bytes, at);
  return form === 'disp32' ? ripRelative(bytes, at) : undefined;
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

function ripRelative(bytes: Uint8Array, at: number): Uint8Array | undefined {
  const sib = bytes.length - 5;
  const modrm = bytes[sib - 1] ?? 0;
  if (sib < 2 || bytes[sib] !== SIB_DISP32 || (modrm & 0xc7) !== MODRM_SIB) return undefined;
  const target = viewOf(bytes).getInt32(bytes.length - 4, true);
  const out = new Uint8Array(bytes.length);
  out[0] = DS_PREFIX;
  out.set(bytes.subarray(0, sib - 1), 1);
  out[sib] = modrm | 0x01;
  putU32(out, bytes.length - 4, (target - (at + bytes.length)) >>> 0);
  return out;
}
