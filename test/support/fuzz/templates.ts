// Every instruction that iced-x86 knows by one-, two- and three-byte opcodes and by VEX, found by decoding: one example of
// each `Code`, to which operands are then made up.

import { Code, Decoder, DecoderOptions, Instruction } from 'iced-x86';
import { type Bits, le } from './assembler.ts';
import { CODE_BYTES, type Place } from './places.ts';
import type { Source } from './source.ts';

/** What stands before the ModRM byte, and which of that byte's bits belong to the opcode. */
type Template = {
  readonly head: readonly number[];
  readonly register: number;
  readonly memory: boolean;
  readonly rm: number;
};

const PREFIXES: readonly (readonly number[])[] = [[], [0x66], [0xf3], [0xf2]];
const MAPS: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
const PREFIX_BYTES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x0f]);

function* heads(bits: 32 | 64): Generator<number[]> {
  for (const map of MAPS) {
    for (const prefix of PREFIXES) {
      for (let opcode = 0; opcode < 256; opcode++) {
        if (map.length === 0 && (PREFIX_BYTES.has(opcode) || (bits === 64 && (opcode & 0xf0) === 0x40))) continue;
        yield [...prefix, ...map, opcode];
        if (bits === 64) yield [...prefix, 0x48, ...map, opcode];
      }
    }
  }
  for (let map = 1; map <= 3; map++) {
    for (let rest = 0; rest < 16; rest++) {
      // Bit 7 W, bits 6-3 vvvv (register 1), bit 2 L, bits 1-0 the prefix.
      const third = ((rest & 8) << 4) | 0x70 | (rest & 7);
      for (let opcode = 0; opcode < 256; opcode++) yield [0xc4, 0xe0 | map, third, opcode];
    }
  }
}

type Form = Omit<Template, 'head'>;

/** Every opcode extension in the register field, and where they go by the whole byte (0F 01, x87) that too. */
function forms(head: readonly number[]): readonly Form[] {
  const registers = [0, 1, 2, 3, 4, 5, 6, 7];
  const bare = head.length === 1 || (head.length === 2 && head[0] === 0x0f);
  return registers.flatMap((register) => [
    { register, memory: true, rm: 3 },
    ...(bare ? registers : [0]).map((rm) => ({ register, memory: false, rm })),
  ]);
}

const modRm = ({ register, memory, rm }: Form): number => (memory ? 0 : 0xc0) | (register << 3) | rm;

/** Room of an example in the decoder's bytes. */
const STRIDE = 16;

function findTemplates(bits: 32 | 64): Template[] {
  const found = new Map<Code, Template>();
  const insn = new Instruction();
  for (const head of heads(bits)) {
    const list = forms(head);
    const bytes = new Uint8Array(STRIDE * list.length);
    list.forEach((form, i) => bytes.set([...head, modRm(form)], STRIDE * i));
    const decoder = new Decoder(bits, bytes, DecoderOptions.None);
    list.forEach((form, i) => {
      decoder.position = STRIDE * i;
      decoder.decodeOut(insn);
      if (insn.code !== Code.INVALID && !found.has(insn.code)) found.set(insn.code, { head, ...form });
    });
    decoder.free();
  }
  insn.free();
  return [...found.values()];
}

const known = new Map<32 | 64, readonly Template[]>();

/** 16-bit code takes the 32-bit ones: the same bytes with other sizes. */
function templates(bits: Bits): readonly Template[] {
  const wanted = bits === 64 ? 64 : 32;
  const list = known.get(wanted) ?? findTemplates(wanted);
  known.set(wanted, list);
  return list;
}

/** The bytes of an example of each. */
export const examples = (bits: Bits): readonly Uint8Array[] =>
  templates(bits).map((template) => {
    const bytes = new Uint8Array(STRIDE);
    bytes.set([...template.head, modRm(template)]);
    return bytes;
  });

/** ModRM byte and what follows it, for a memory operand that mostly lies where something is. */
function memoryOperand(random: Source, bits: Bits, field: number, place: Place): number[] {
  const address = place.address(random);
  const reg = field << 3;
  if (bits === 16)
    return random.percent(60)
      ? [0x06 | reg, ...le(address & 0xffff, 2)]
      : [(random.below(3) << 6) | reg | random.below(8)];
  switch (random.below(5)) {
    case 0:
      return bits === 64 ? [0x04 | reg, 0x25, ...le(address, 4)] : [0x05 | reg, ...le(address, 4)];
    case 1:
      return [0x40 | reg | random.pick([0, 1, 2, 3, 5, 6, 7]), random.below(256)];
    case 2:
      return [0x80 | reg | random.pick([0, 1, 2, 3, 5, 6, 7]), ...le(random.below(8192) - 4096, 4)];
    case 3:
      return bits === 64 ? [0x05 | reg, ...le(random.below(2 * CODE_BYTES) - CODE_BYTES, 4)] : [0x03 | reg];
    default:
      return [0x44 | reg, random.below(256), random.below(256)];
  }
}

const SEGMENTS = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

function candidate(random: Source, bits: Bits, place: Place): number[] {
  const template = random.pick(templates(bits));
  const { head } = template;
  const bytes: number[] = [];
  if (random.percent(4)) bytes.push(random.pick(SEGMENTS));
  if (random.percent(3)) bytes.push(0x67);
  if (random.percent(3)) bytes.push(0xf0);
  if (random.percent(3)) bytes.push(random.pick([0x66, 0xf2, 0xf3]));
  bytes.push(...head);
  // The register field may be part of the opcode; an invalid result is tried again.
  const field = random.percent(50) ? template.register : random.below(8);
  if (template.memory) bytes.push(...memoryOperand(random, bits, field, place));
  else bytes.push(0xc0 | (field << 3) | (random.percent(50) ? template.rm : random.below(8)));
  while (bytes.length < 16) bytes.push(random.percent(30) ? 0 : random.below(256));
  return bytes;
}

/** Wide branches would all lead out of the code: most are made to lead back into it. */
function tame(random: Source, bytes: number[], insn: Instruction): void {
  if (!insn.isJmpNear && !insn.isJccNear && !insn.isCallNear) return;
  if (bytes.length < 5 || random.percent(10)) return;
  bytes.splice(-4, 4, ...le(random.below(1024) - 512, 4));
}

/** One valid instruction of any kind with made-up operands. */
export function anyInstruction(random: Source, bits: Bits, place: Place): number[] {
  for (let attempt = 0; attempt < 8; attempt++) {
    const bytes = candidate(random, bits, place);
    const decoder = new Decoder(bits, Uint8Array.from(bytes.slice(0, 15)), DecoderOptions.None);
    const insn = decoder.decode();
    const whole = insn.code !== Code.INVALID ? bytes.slice(0, insn.length) : undefined;
    if (whole) tame(random, whole, insn);
    insn.free();
    decoder.free();
    if (whole) return whole;
  }
  return [0x90];
}
