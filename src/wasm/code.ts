// Instruction builder for WebAssembly: expressions are values with a type, statements are code without one, and labels
// are objects whose depth is worked out when the function is encoded. Knows no x86. Spec: WebAssembly Core 2.0, section 5.4.

export type ValType = 'i32' | 'i64' | 'v128';

/** Target of a branch; made by `block` and `loop`. */
export type Label = { readonly name: string };

type Mark =
  | { readonly kind: 'open'; readonly label: Label; readonly bytes: readonly number[] }
  | { readonly kind: 'end' }
  | { readonly kind: 'ref'; readonly label: Label };

/** Encoded instructions, nested freely; flattened once. */
export type Code = readonly (number | Mark | Code)[];

export type Stmt = Code;
export type Expr<T extends ValType> = { readonly type: T; readonly code: Code };
export type I32 = Expr<'i32'>;
export type I64 = Expr<'i64'>;
export type V128 = Expr<'v128'>;
export type Local<T extends ValType> = { readonly type: T; readonly index: number };

const TYPE_BYTE = { i32: 0x7f, i64: 0x7e, v128: 0x7b } as const;
export const typeByte = (type: ValType): number => TYPE_BYTE[type];

/** LEB128 numbers made before, by value: code is full of the same few, and nobody changes them. */
const UNSIGNED: number[][] = [];
const SIGNED = new Map<number, readonly number[]>();
const KEPT = 1 << 14;

export function unsignedLeb(value: number): readonly number[] {
  return value < KEPT ? (UNSIGNED[value] ??= encodeUnsigned(value)) : encodeUnsigned(value);
}

function encodeUnsigned(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  do {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    out.push(rest ? byte | 0x80 : byte);
  } while (rest);
  return out;
}

function signedLeb32(value: number): readonly number[] {
  let known = SIGNED.get(value);
  if (!known) SIGNED.set(value, (known = encodeSigned(value | 0)));
  return known;
}

/** Of a 32-bit number. */
function encodeSigned(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && !(byte & 0x40)) || (rest === -1 && byte & 0x40)) return [...out, byte];
    out.push(byte | 0x80);
  }
}

function signedLeb64(value: bigint | number): readonly number[] {
  if (typeof value === 'number' && value === (value | 0)) return signedLeb32(value);
  const out: number[] = [];
  let rest = BigInt.asIntN(64, BigInt(value));
  for (;;) {
    const byte = Number(rest & 0x7fn);
    rest >>= 7n;
    if ((rest === 0n && !(byte & 0x40)) || (rest === -1n && byte & 0x40)) return [...out, byte];
    out.push(byte | 0x80);
  }
}

const e32 = (...code: Code): I32 => ({ type: 'i32', code });
const e64 = (...code: Code): I64 => ({ type: 'i64', code });

type Bin32 = (a: I32, b: I32) => I32;
type Bin64 = (a: I64, b: I64) => I64;
type Cmp64 = (a: I64, b: I64) => I32;
const bin32 =
  (op: number): Bin32 =>
  (a, b) =>
    e32(a.code, b.code, op);
const bin64 =
  (op: number): Bin64 =>
  (a, b) =>
    e64(a.code, b.code, op);
const cmp64 =
  (op: number): Cmp64 =>
  (a, b) =>
    e32(a.code, b.code, op);
const un32 =
  (op: number) =>
  (a: I32): I32 =>
    e32(a.code, op);
const un64 =
  (op: number) =>
  (a: I64): I64 =>
    e64(a.code, op);
const load32 =
  (op: number) =>
  (address: I32, offset = 0): I32 =>
    e32(address.code, op, 0, unsignedLeb(offset));
const load64 =
  (op: number) =>
  (address: I32, offset = 0): I64 =>
    e64(address.code, op, 0, unsignedLeb(offset));
// Alignment hints are all 0 (byte): guest data lies anywhere.
const storeOp =
  <T extends ValType>(op: number) =>
  (address: I32, value: Expr<T>, offset = 0): Stmt => [address.code, value.code, op, 0, unsignedLeb(offset)];

export const i32 = {
  const: (value: number): I32 => e32(0x41, signedLeb32(value)),
  load: load32(0x28),
  load8s: load32(0x2c),
  load8u: load32(0x2d),
  load16s: load32(0x2e),
  load16u: load32(0x2f),
  store: storeOp<'i32'>(0x36),
  store8: storeOp<'i32'>(0x3a),
  store16: storeOp<'i32'>(0x3b),
  eqz: un32(0x45),
  eq: bin32(0x46),
  ne: bin32(0x47),
  ltS: bin32(0x48),
  ltU: bin32(0x49),
  gtS: bin32(0x4a),
  gtU: bin32(0x4b),
  leS: bin32(0x4c),
  leU: bin32(0x4d),
  geS: bin32(0x4e),
  geU: bin32(0x4f),
  clz: un32(0x67),
  ctz: un32(0x68),
  popcnt: un32(0x69),
  add: bin32(0x6a),
  sub: bin32(0x6b),
  mul: bin32(0x6c),
  divS: bin32(0x6d),
  divU: bin32(0x6e),
  remS: bin32(0x6f),
  remU: bin32(0x70),
  and: bin32(0x71),
  or: bin32(0x72),
  xor: bin32(0x73),
  shl: bin32(0x74),
  shrS: bin32(0x75),
  shrU: bin32(0x76),
  rotl: bin32(0x77),
  rotr: bin32(0x78),
  extend8S: un32(0xc0),
  extend16S: un32(0xc1),
  wrap: (a: I64): I32 => e32(a.code, 0xa7),
};

export const i64 = {
  const: (value: bigint | number): I64 => e64(0x42, signedLeb64(value)),
  load: load64(0x29),
  load8s: load64(0x30),
  load8u: load64(0x31),
  load16s: load64(0x32),
  load16u: load64(0x33),
  load32s: load64(0x34),
  load32u: load64(0x35),
  store: storeOp<'i64'>(0x37),
  store8: storeOp<'i64'>(0x3c),
  store16: storeOp<'i64'>(0x3d),
  store32: storeOp<'i64'>(0x3e),
  eqz: (a: I64): I32 => e32(a.code, 0x50),
  eq: cmp64(0x51),
  ne: cmp64(0x52),
  ltS: cmp64(0x53),
  ltU: cmp64(0x54),
  gtS: cmp64(0x55),
  gtU: cmp64(0x56),
  leS: cmp64(0x57),
  leU: cmp64(0x58),
  geS: cmp64(0x59),
  geU: cmp64(0x5a),
  clz: un64(0x79),
  ctz: un64(0x7a),
  popcnt: un64(0x7b),
  add: bin64(0x7c),
  sub: bin64(0x7d),
  mul: bin64(0x7e),
  divS: bin64(0x7f),
  divU: bin64(0x80),
  remS: bin64(0x81),
  remU: bin64(0x82),
  and: bin64(0x83),
  or: bin64(0x84),
  xor: bin64(0x85),
  shl: bin64(0x86),
  shrS: bin64(0x87),
  shrU: bin64(0x88),
  rotl: bin64(0x89),
  rotr: bin64(0x8a),
  extendS: (a: I32): I64 => e64(a.code, 0xac),
  extendU: (a: I32): I64 => e64(a.code, 0xad),
  extend8S: un64(0xc2),
  extend16S: un64(0xc3),
  extend32S: un64(0xc4),
};

/** Both values are evaluated; the first where the condition is not 0. */
export const select = <T extends ValType>(condition: I32, yes: Expr<T>, no: Expr<T>): Expr<T> => ({
  type: yes.type,
  code: [yes.code, no.code, condition.code, 0x1b],
});

export const get = <T extends ValType>(local: Local<T>): Expr<T> => ({
  type: local.type,
  code: [0x20, unsignedLeb(local.index)],
});
export const set = <T extends ValType>(local: Local<T>, value: Expr<T>): Stmt => [
  value.code,
  0x21,
  unsignedLeb(local.index),
];

const open = (label: Label, ...bytes: number[]): Mark => ({ kind: 'open', label, bytes });
const END: Mark = { kind: 'end' };
const ref = (label: Label): Mark => ({ kind: 'ref', label });

export const label = (name: string): Label => ({ name });

/** `br` to the label goes past the block's end. */
export const block = (target: Label, ...body: Stmt[]): Stmt => [open(target, 0x02, 0x40), body, END];
/** `br` to the label goes back to the loop's start. */
export const loop = (target: Label, ...body: Stmt[]): Stmt => [open(target, 0x03, 0x40), body, END];
export const br = (target: Label): Stmt => [0x0c, ref(target)];
export const brIf = (target: Label, condition: I32): Stmt => [condition.code, 0x0d, ref(target)];
export const brTable = (index: I32, targets: readonly Label[], otherwise: Label): Stmt => [
  index.code,
  0x0e,
  unsignedLeb(targets.length),
  targets.map(ref),
  ref(otherwise),
];
export const when = (condition: I32, then: Stmt, otherwise?: Stmt): Stmt => [
  condition.code,
  open(label('if'), 0x04, 0x40),
  then,
  otherwise ? [0x05, otherwise] : [],
  END,
];
/** A value from one of two sides, of which only one runs. Each side may run statements before its value. */
export const choose = <T extends ValType>(
  condition: I32,
  yes: Expr<T>,
  no: Expr<T>,
  before: { yes?: Stmt; no?: Stmt } = {},
): Expr<T> => ({
  type: yes.type,
  code: [
    condition.code,
    open(label('choose'), 0x04, typeByte(yes.type)),
    before.yes ?? [],
    yes.code,
    0x05,
    before.no ?? [],
    no.code,
    END,
  ],
});
export const ret = (...values: Expr<ValType>[]): Stmt => [values.map((value) => value.code), 0x0f];
export const drop = (value: Expr<ValType>): Stmt => [value.code, 0x1a];

const callCode = (index: number, args: readonly Expr<ValType>[]): Code => [
  args.map((arg) => arg.code),
  0x10,
  unsignedLeb(index),
];
export const call = (index: number, ...args: Expr<ValType>[]): Stmt => callCode(index, args);
export const call32 = (index: number, ...args: Expr<ValType>[]): I32 => e32(callCode(index, args));
export const call64 = (index: number, ...args: Expr<ValType>[]): I64 => e64(callCode(index, args));
export const call128 = (index: number, ...args: Expr<ValType>[]): V128 => ({
  type: 'v128',
  code: callCode(index, args),
});
/** Calls entry `slot` of table 0 as a function of type `typeIndex`. */
export const callIndirect32 = (typeIndex: number, slot: I32, ...args: Expr<ValType>[]): I32 =>
  e32(
    args.map((arg) => arg.code),
    slot.code,
    0x11,
    unsignedLeb(typeIndex),
    0,
  );

/** memory.copy: regions may overlap (as memmove). */
export const memoryCopy = (to: I32, from: I32, length: I32): Stmt => [to.code, from.code, length.code, 0xfc, 10, 0, 0];
export const memoryFill = (to: I32, value: I32, length: I32): Stmt => [to.code, value.code, length.code, 0xfc, 11, 0];

/** Where bytes are collected; grows as needed. */
export class ByteSink {
  #bytes = new Uint8Array(1 << 16);
  length = 0;

  push(byte: number): void {
    if (this.length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.length++] = byte;
  }

  append(bytes: ArrayLike<number>): void {
    if (this.length + bytes.length > this.#bytes.length) this.#grow(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  #grow(room: number): void {
    const larger = new Uint8Array(2 * this.#bytes.length + room);
    larger.set(this.#bytes);
    this.#bytes = larger;
  }

  /** A copy of what has been collected. */
  taken(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.length);
  }
}

/** Appends code's bytes, with label references as depths. A reference to a label that is not open is our bug. */
export function flatten(code: Code, sink: ByteSink): void {
  const openLabels: Label[] = [];
  const walk = (part: Code): void => {
    for (let i = 0; i < part.length; i++) {
      const item = part[i] as Code[number];
      if (typeof item === 'number') sink.push(item);
      else if (Array.isArray(item)) walk(item);
      else mark(item as Mark);
    }
  };
  const mark = (item: Mark): void => {
    if (item.kind === 'open') {
      openLabels.push(item.label);
      for (const byte of item.bytes) sink.push(byte);
    } else if (item.kind === 'end') {
      openLabels.pop();
      sink.push(0x0b);
    } else {
      const at = openLabels.lastIndexOf(item.label);
      if (at < 0) throw new Error(`branch to '${item.label.name}', which is not open here`);
      for (const byte of unsignedLeb(openLabels.length - 1 - at)) sink.push(byte);
    }
  };
  walk(code);
}
