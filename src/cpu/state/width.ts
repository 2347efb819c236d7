// Operand sizes seen as WebAssembly values: 8, 16 and 32 bits are carried in an i32, 64 bits in an i64. A value read from
// a register or memory is zero-extended; a computed one may have anything above its size until it is written or narrowed.

import { type Expr, type I32, type I64, i32, i64, type ValType } from '../../wasm/code.ts';

export type Bytes = 1 | 2 | 4 | 8;

type Binary<T extends ValType> = (a: Expr<T>, b: Expr<T>) => Expr<T>;
type Compare<T extends ValType> = (a: Expr<T>, b: Expr<T>) => I32;

export type Width<T extends ValType = ValType> = {
  readonly bytes: Bytes;
  readonly bits: number;
  readonly type: T;
  readonly const: (value: bigint | number) => Expr<T>;
  readonly load: (address: I32, offset?: number) => Expr<T>;
  readonly store: (address: I32, value: Expr<T>, offset?: number) => import('../../wasm/code.ts').Stmt;
  readonly add: Binary<T>;
  readonly sub: Binary<T>;
  readonly mul: Binary<T>;
  readonly and: Binary<T>;
  readonly or: Binary<T>;
  readonly xor: Binary<T>;
  readonly shl: Binary<T>;
  readonly shrU: Binary<T>;
  readonly shrS: Binary<T>;
  readonly eq: Compare<T>;
  readonly ltU: Compare<T>;
  readonly eqz: (a: Expr<T>) => I32;
  /** Sign-extended to 64 bits from this size. */
  readonly signed64: (a: Expr<T>) => I64;
  /** Zero-extended to 64 bits from this size. */
  readonly unsigned64: (a: Expr<T>) => I64;
  /** Low bits of a 64-bit value. */
  readonly from64: (a: I64) => Expr<T>;
  /** Zero-extended within its own WebAssembly type. */
  readonly narrow: (a: Expr<T>) => Expr<T>;
  /** Sign-extended within its own WebAssembly type. */
  readonly signed: (a: Expr<T>) => Expr<T>;
  /** An i32 (a count, 0 or 1) as a value of this size. */
  readonly from32: (a: I32) => Expr<T>;
  readonly to32: (a: Expr<T>) => I32;
};

function narrowWidth(bytes: 1 | 2 | 4): Width<'i32'> {
  const bits = bytes * 8;
  const mask = bytes === 4 ? -1 : (1 << bits) - 1;
  const narrow = (a: I32): I32 => (bytes === 4 ? a : i32.and(a, i32.const(mask)));
  const signed = bytes === 1 ? i32.extend8S : bytes === 2 ? i32.extend16S : (a: I32): I32 => a;
  return {
    bytes,
    bits,
    type: 'i32',
    const: (value) => i32.const(Number(BigInt.asIntN(32, BigInt(value)))),
    load: bytes === 1 ? i32.load8u : bytes === 2 ? i32.load16u : i32.load,
    store: bytes === 1 ? i32.store8 : bytes === 2 ? i32.store16 : i32.store,
    add: i32.add,
    sub: i32.sub,
    mul: i32.mul,
    and: i32.and,
    or: i32.or,
    xor: i32.xor,
    shl: i32.shl,
    shrU: i32.shrU,
    shrS: i32.shrS,
    eq: i32.eq,
    ltU: i32.ltU,
    eqz: i32.eqz,
    signed64: (a) => i64.extendS(signed(a)),
    unsigned64: (a) => i64.extendU(narrow(a)),
    from64: i32.wrap,
    narrow,
    signed,
    from32: (a) => a,
    to32: (a) => a,
  };
}

const WIDE: Width<'i64'> = {
  bytes: 8,
  bits: 64,
  type: 'i64',
  const: i64.const,
  load: i64.load,
  store: i64.store,
  add: i64.add,
  sub: i64.sub,
  mul: i64.mul,
  and: i64.and,
  or: i64.or,
  xor: i64.xor,
  shl: i64.shl,
  shrU: i64.shrU,
  shrS: i64.shrS,
  eq: i64.eq,
  ltU: i64.ltU,
  eqz: i64.eqz,
  signed64: (a) => a,
  unsigned64: (a) => a,
  from64: (a) => a,
  narrow: (a) => a,
  signed: (a) => a,
  from32: i64.extendU,
  to32: i32.wrap,
};

const WIDTHS = { 1: narrowWidth(1), 2: narrowWidth(2), 4: narrowWidth(4), 8: WIDE };

/** The width of so many bytes. Semantics are written once for all of them, so its value type is left open. */
export const widthOf = (bytes: Bytes): Width => WIDTHS[bytes] as unknown as Width;
