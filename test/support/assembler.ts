// A small assembler: guests of a few instructions, written as a list that reads like assembly in Intel's order of operands.
//
//   const { mov, dec, jne, hlt } = x86;
//   assemble(64, 0x1000000n, [mov('ecx', 5), '@again', dec('ecx'), jne('@again'), hlt(), '@data', dq(1n)])
//
// '@name' alone is a label; as an operand it is that label's address. iced-x86 encodes: of all its encodings of a mnemonic
// the shortest that fits the operands is taken, the first of equals. Jumps are short where that reaches.

import {
  Code,
  CodeExt,
  Encoder,
  Instruction,
  MemorySizeExt,
  Mnemonic,
  OpCodeOperandKind,
  OpKind,
  Register,
  RegisterExt,
} from 'iced-x86';

export type Bits = 16 | 32 | 64;
type RegisterName = Lowercase<keyof typeof Register>;
type LabelName = `@${string}`;
type Scaled = `${RegisterName}*${1 | 2 | 4 | 8}`;

interface Memory {
  readonly segment: Register;
  readonly base: Register;
  readonly index: Register;
  readonly scale: number;
  readonly displacement: bigint;
  readonly label: LabelName | undefined;
  /** Bytes; undefined where the other operand tells. */
  readonly size: number | undefined;
}

interface Far {
  readonly selector: number;
  readonly offset: number | LabelName;
}

export type Operand = RegisterName | LabelName | number | bigint | Memory | Far;
interface Line {
  readonly mnemonic: Mnemonic;
  readonly operands: readonly Operand[];
  readonly prefix?: 'rep' | 'lock';
}
/** The address of a label, in so many bytes. */
interface Address {
  readonly addressOf: LabelName;
  readonly bytes: number;
}
export type Item = Line | LabelName | Uint8Array | Address | { readonly alignment: number };
type Labels = ReadonlyMap<string, bigint>;

/** Each mnemonic, in small letters, as a function of its operands; without operands those that are implied are taken. */
export const x86 = Object.fromEntries(
  Object.entries(Mnemonic).flatMap(([name, mnemonic]) =>
    typeof mnemonic === 'number'
      ? [[name.toLowerCase(), (...operands: Operand[]): Line => ({ mnemonic, operands })]]
      : [],
  ),
) as Record<Lowercase<keyof typeof Mnemonic>, (...operands: Operand[]) => Line>;

export const rep = (line: Line): Line => ({ ...line, prefix: 'rep' });
export const lock = (line: Line): Line => ({ ...line, prefix: 'lock' });
/** Operand of a far jump or call. */
export const far = (selector: number, offset: number | LabelName): Far => ({ selector, offset });

const little = (value: bigint | number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(8 * i)) & 0xffn));
const data =
  (bytes: number) =>
  (...values: readonly (number | bigint)[]): Uint8Array =>
    Uint8Array.from(values.flatMap((value) => little(value, bytes)));
export const [db, dw, dd, dq] = [data(1), data(2), data(4), data(8)];
export const text = (words: string): Uint8Array => new TextEncoder().encode(words);
export const addressOf = (label: LabelName, bytes: number): Address => ({ addressOf: label, bytes });
export const align = (alignment: number): Item => ({ alignment });

const REGISTERS = new Map<string, Register>(
  Object.entries(Register).flatMap(([name, value]) =>
    typeof value === 'number' ? [[name.toLowerCase(), value] as const] : [],
  ),
);

const NOWHERE = { segment: Register.None, base: Register.None, index: Register.None, scale: 1, displacement: 0n };

type Part = RegisterName | Scaled | LabelName | number | bigint;
const memory =
  (size: number | undefined) =>
  (...parts: readonly Part[]): Memory => {
    let found: Memory = { ...NOWHERE, label: undefined, size };
    for (const part of parts) found = { ...found, ...partOf(part, found) };
    return found;
  };

function partOf(part: Part, before: Memory): Partial<Memory> {
  if (typeof part !== 'string') return { displacement: before.displacement + BigInt(part) };
  if (part.startsWith('@')) return { label: part as LabelName };
  const [name = '', scale] = part.split('*');
  const register = REGISTERS.get(name);
  if (register === undefined) throw new Error(`no register ${part}`);
  if (RegisterExt.isSegmentRegister(register)) return { segment: register };
  if (scale === undefined && before.base === Register.None) return { base: register };
  return { index: register, scale: Number(scale ?? 1) };
}

/** Memory operands: registers ('rbx', 'rcx*8', 'es'), numbers and a label, which are added. `ptr` leaves the size to the rest. */
export const ptr = memory(undefined);
export const [byte, dword, qword] = [memory(1), memory(4), memory(8)];

const isMemory = (operand: Operand): operand is Memory => typeof operand === 'object' && 'base' in operand;
const isFar = (operand: Operand): operand is Far => typeof operand === 'object' && 'selector' in operand;

const codesOf = new Map<Mnemonic, Code[]>();
for (const code of Object.values(Code)) {
  if (typeof code !== 'number') continue;
  const info = CodeExt.opCode(code);
  const list = codesOf.get(info.mnemonic);
  if (list) list.push(code);
  else codesOf.set(info.mnemonic, [code]);
  info.free();
}

const CLASSES: Readonly<Record<string, (register: Register) => boolean>> = {
  r8: (register) => RegisterExt.isGPR8(register),
  r16: (register) => RegisterExt.isGPR16(register),
  r32: (register) => RegisterExt.isGPR32(register),
  r64: (register) => RegisterExt.isGPR64(register),
  mm: (register) => RegisterExt.isMM(register),
  xmm: (register) => RegisterExt.isXMM(register),
  ymm: (register) => RegisterExt.isYMM(register),
  seg: (register) => RegisterExt.isSegmentRegister(register),
  cr: (register) => RegisterExt.isCR(register),
  dr: (register) => RegisterExt.isDR(register),
  sti: (register) => RegisterExt.isST(register),
};

/** String operands, which are never written: their kinds by address size. */
const STRINGS: Readonly<Record<string, Readonly<Record<Bits, OpKind>>>> = {
  seg_rSI: { 16: OpKind.MemorySegSI, 32: OpKind.MemorySegESI, 64: OpKind.MemorySegRSI },
  es_rDI: { 16: OpKind.MemoryESDI, 32: OpKind.MemoryESEDI, 64: OpKind.MemoryESRDI },
};

/** Immediates: kind of operand, bits that are encoded, bits that they are extended to (0: those of the instruction). */
const IMMEDIATES: Readonly<Record<string, readonly [kind: OpKind, bits: number, extended: number]>> = {
  imm8: [OpKind.Immediate8, 8, 0],
  imm8_const_1: [OpKind.Immediate8, 8, 0],
  imm8sex16: [OpKind.Immediate8to16, 8, 16],
  imm8sex32: [OpKind.Immediate8to32, 8, 32],
  imm8sex64: [OpKind.Immediate8to64, 8, 64],
  imm16: [OpKind.Immediate16, 16, 0],
  imm32: [OpKind.Immediate32, 32, 0],
  imm32sex64: [OpKind.Immediate32to64, 32, 64],
  imm64: [OpKind.Immediate64, 64, 0],
};

/** Puts an operand into an instruction. @returns false where this encoding has no place for it */
function put(insn: Instruction, at: number, kind: string, operand: Operand, labels: Labels, bits: Bits): boolean {
  if (isMemory(operand)) return putMemory(insn, at, kind, operand, labels, bits);
  if (isFar(operand)) return putFar(insn, at, kind, operand, labels, bits);
  if (typeof operand === 'string' && !operand.startsWith('@')) return putRegister(insn, at, kind, operand);
  const isLabel = typeof operand === 'string';
  const value = isLabel ? labelAt(labels, operand) : BigInt(operand);
  if (kind.startsWith('br')) {
    if (!kind.startsWith(`br${bits}_`)) return false;
    insn.setOpKind(at, bits === 64 ? OpKind.NearBranch64 : bits === 32 ? OpKind.NearBranch32 : OpKind.NearBranch16);
    if (bits === 64) insn.nearBranch64 = BigInt.asUintN(64, value);
    else if (bits === 32) insn.nearBranch32 = Number(BigInt.asUintN(32, value));
    else insn.nearBranch16 = Number(BigInt.asUintN(16, value));
    return true;
  }
  // A push of a word is shorter outside 16-bit code, and another instruction.
  if (insn.mnemonic === Mnemonic.Push && bits !== 16 && kind.endsWith('16')) return false;
  return putImmediate(insn, at, kind, value, isLabel);
}

function putImmediate(insn: Instruction, at: number, kind: string, value: bigint, isLabel: boolean): boolean {
  const row = IMMEDIATES[kind];
  if (!row || (kind === 'imm8_const_1' && value !== 1n)) return false;
  const [opKind, encoded, extended] = row;
  // An address may move while jumps grow; its size must not.
  if (isLabel && encoded < 32) return false;
  const small = BigInt.asIntN(encoded, value);
  const same = extended ? value === small || value === BigInt.asUintN(extended, small) : fits(value, encoded);
  if (!same) return false;
  insn.setOpKind(at, opKind);
  if (encoded === 8 || encoded === 16)
    insn.setImmediateI32(at, Number(extended ? small : BigInt.asUintN(encoded, value)));
  else insn.setImmediateI64(at, extended ? small : BigInt.asIntN(64, BigInt.asUintN(encoded, value)));
  return true;
}

const fits = (value: bigint, bits: number): boolean => value >= -(1n << BigInt(bits - 1)) && value < 1n << BigInt(bits);

function putRegister(insn: Instruction, at: number, kind: string, name: string): boolean {
  const register = REGISTERS.get(name);
  if (register === undefined) throw new Error(`no register ${name}`);
  const right = REGISTERS.has(kind)
    ? REGISTERS.get(kind) === register
    : kind !== 'seg_rSI' && (CLASSES[kind.split('_')[0] ?? '']?.(register) ?? false);
  if (!right) return false;
  insn.setOpKind(at, OpKind.Register);
  insn.setOpRegister(at, register);
  return true;
}

function putMemory(insn: Instruction, at: number, kind: string, operand: Memory, labels: Labels, bits: Bits): boolean {
  if (kind !== 'mem' && !kind.endsWith('_or_mem')) return false;
  if (operand.size !== undefined && MemorySizeExt.size(insn.memorySize) !== operand.size) return false;
  const relative = operand.label !== undefined && bits === 64 && !operand.base && !operand.index;
  const displacement = operand.displacement + (operand.label ? labelAt(labels, operand.label) : 0n);
  insn.setOpKind(at, OpKind.Memory);
  insn.segmentPrefix = operand.segment;
  insn.memoryBase = relative ? Register.RIP : operand.base;
  insn.memoryIndex = operand.index;
  insn.memoryIndexScale = operand.scale;
  insn.memoryDisplacement = BigInt.asUintN(64, displacement);
  const isByte = displacement === BigInt.asIntN(8, displacement);
  const none = displacement === 0n && operand.base !== Register.None;
  insn.memoryDisplSize = none ? 0 : !relative && operand.base && isByte && !operand.label ? 1 : bits / 8;
  return true;
}

function putFar(insn: Instruction, at: number, kind: string, operand: Far, labels: Labels, bits: Bits): boolean {
  const offset = typeof operand.offset === 'string' ? Number(labelAt(labels, operand.offset)) : operand.offset;
  const wide = bits === 32 || offset > 0xffff;
  if (kind !== (wide ? 'farbr4_2' : 'farbr2_2')) return false;
  insn.setOpKind(at, wide ? OpKind.FarBranch32 : OpKind.FarBranch16);
  insn.farBranchSelector = operand.selector;
  if (wide) insn.farBranch32 = offset;
  else insn.farBranch16 = offset;
  return true;
}

function labelAt(labels: Labels, name: string): bigint {
  const found = labels.get(name);
  if (found === undefined) throw new Error(`no label ${name}`);
  return found;
}

/** Operands that are never written: of string instructions and those with fixed registers. */
function putImplied(insn: Instruction, kinds: readonly string[], bits: Bits): boolean {
  return kinds.every((kind, at) => {
    const string = STRINGS[kind]?.[bits];
    if (string !== undefined) {
      insn.setOpKind(at, string);
      return true;
    }
    return REGISTERS.has(kind) && putRegister(insn, at, kind, kind);
  });
}

interface Encoded {
  readonly bytes: Uint8Array;
  /** Of the memory operand, 0 without one. */
  readonly memoryBytes: number;
}

function encodeAs(code: Code, line: Line, ip: bigint, labels: Labels, bits: Bits): Encoded | undefined {
  const info = CodeExt.opCode(code);
  const inMode = bits === 64 ? info.mode64 : bits === 32 ? info.mode32 : info.mode16;
  const kinds = Array.from({ length: info.opCount }, (_, at) => OpCodeOperandKind[info.opKind(at)]);
  info.free();
  const implied = line.operands.length === 0;
  if (!inMode || (!implied && kinds.length !== line.operands.length)) return undefined;
  const insn = new Instruction();
  insn.code = code;
  if (line.prefix === 'rep') insn.hasRepPrefix = true;
  if (line.prefix === 'lock') insn.hasLockPrefix = true;
  const right = implied
    ? putImplied(insn, kinds, bits)
    : line.operands.every((operand, at) => put(insn, at, kinds[at] as string, operand, labels, bits));
  const hasMemory = line.operands.some(isMemory);
  const bytes = right ? encode(insn, ip, bits) : undefined;
  const memoryBytes = hasMemory ? MemorySizeExt.size(insn.memorySize) : 0;
  insn.free();
  return bytes && { bytes, memoryBytes };
}

function encode(insn: Instruction, ip: bigint, bits: Bits): Uint8Array | undefined {
  const encoder = new Encoder(bits);
  try {
    encoder.encode(insn, ip);
    return encoder.takeBuffer();
  } catch {
    // A short jump that does not reach, a value that does not fit: another encoding may do.
    return undefined;
  } finally {
    encoder.free();
  }
}

/** @param shortest bytes that it may not be shorter than: a jump that has grown stays long */
function encodeLine(line: Line, ip: bigint, labels: Labels, bits: Bits, shortest: number): Uint8Array {
  const found = (codesOf.get(line.mnemonic) ?? []).flatMap((code) => encodeAs(code, line, ip, labels, bits) ?? []);
  const open = line.operands.find((operand) => isMemory(operand) && operand.size === undefined);
  if (open && new Set(found.map(({ memoryBytes }) => memoryBytes)).size > 1)
    throw new Error(`${named(line)}: say byte, word, dword or qword`);
  const long = found.map(({ bytes }) => bytes).filter(({ length }) => length >= shortest);
  const best = long.find(({ length }) => length === Math.min(...long.map((bytes) => bytes.length)));
  if (!best) throw new Error(`${named(line)}: no such instruction in ${bits}-bit code`);
  return best;
}

const named = ({ mnemonic, operands }: Line): string =>
  `${Mnemonic[mnemonic].toLowerCase()} ${operands.map((o) => (typeof o === 'object' ? '...' : String(o))).join(', ')}`;

function bytesOfItem(
  item: Exclude<Item, string>,
  ip: bigint,
  labels: Labels,
  bits: Bits,
  shortest: number,
): Uint8Array {
  if (item instanceof Uint8Array) return item;
  if ('addressOf' in item) return Uint8Array.from(little(labelAt(labels, item.addressOf), item.bytes));
  if ('alignment' in item) return new Uint8Array(Number(-ip & BigInt(item.alignment - 1)));
  return encodeLine(item, ip, labels, bits, shortest);
}

const MOST_PASSES = 20;

/** @param origin address of the first byte @returns the bytes, and where the labels are */
export function assembleAt(bits: Bits, origin: bigint | number, items: readonly Item[]) {
  let labels = new Map<string, bigint>(
    items.flatMap((item) => (typeof item === 'string' ? [[item, BigInt(origin)]] : [])),
  );
  const jumps = new Map<number, number>();
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    let ip = BigInt(origin);
    const next = new Map<string, bigint>();
    const parts: Uint8Array[] = [];
    for (const [i, item] of items.entries()) {
      if (typeof item === 'string') {
        if (next.has(item)) throw new Error(`${item} twice`);
        next.set(item, ip);
        continue;
      }
      // In the first pass nothing is known of what lies ahead: nothing is kept of how long it was.
      const bytes = bytesOfItem(item, ip, pass ? labels : pastLabels(labels, next, ip), bits, jumps.get(i) ?? 0);
      if (
        pass &&
        'mnemonic' in item &&
        item.operands.some((operand) => typeof operand === 'string' && operand.startsWith('@'))
      )
        jumps.set(i, bytes.length);
      parts.push(bytes);
      ip += BigInt(bytes.length);
    }
    const settled = [...next].every(([name, address]) => labels.get(name) === address);
    labels = next;
    if (settled) return { bytes: Uint8Array.from(parts.flatMap((part) => [...part])), labels };
  }
  throw new Error('the labels do not settle');
}

/** Labels behind `ip` as they are, those ahead as if they were here. */
const pastLabels = (all: Labels, past: Labels, ip: bigint): Labels =>
  new Map([...all.keys()].map((name) => [name, past.get(name) ?? ip]));

export const assemble = (bits: Bits, origin: bigint | number, items: readonly Item[]): Uint8Array =>
  assembleAt(bits, origin, items).bytes;
