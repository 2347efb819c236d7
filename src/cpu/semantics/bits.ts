// BT BTS BTR BTC, BSF BSR LZCNT TZCNT POPCNT, the BMI families, ADCX ADOX, MOVBE, CRC32 (SDM 2). Flags the manual leaves
// undefined follow AMD's Zen: BSF and BSR set PF from the result and clear the rest; the BMI ones set PF from the result.

import { brIf, get, type I32, type I64, i32, i64, call64, loop, label, select, set, when } from '../../wasm/code.ts';
import type { Operand } from './emission.ts';
import type { Emitter } from './emitter.ts';
import { type Bytes, type Width, widthOf } from '../state/width.ts';
import {
  readCF,
  readOF,
  setAuxiliary,
  setCarry,
  setCarryOverflow,
  setCarryVector,
  setLogicFlags,
  setZero,
} from './flags.ts';
import { type Definition, type Handler, handlerKey, WORD_SIZES } from './handler.ts';
import { byteSwap64 } from './move.ts';

const c64 = i64.const;
const bit = (value: I64): I32 => i32.and(i32.wrap(value), i32.const(1));
const isZero = (w: Width, value: I64): I32 => w.eqz(w.from64(value));

// Bit tests ---------------------------------------------------------------------------------------------------------------

type BitChange = { name: string; change?: (value: I64, mask: I64) => I64 };
const BIT_TESTS: readonly BitChange[] = [
  { name: 'bt' },
  { name: 'bts', change: (value, mask) => i64.or(value, mask) },
  { name: 'btr', change: (value, mask) => i64.and(value, i64.xor(mask, c64(-1))) },
  { name: 'btc', change: (value, mask) => i64.xor(value, mask) },
];

/** CF = the bit at the offset, taken modulo the operand's size. Only CF changes. */
function testBit(e: Emitter, d: Operand, offset: I64, change: BitChange['change']): void {
  const w = d.width;
  const place = e.let(i64.and(offset, c64(w.bits - 1)));
  const value = e.let(w.unsigned64(d.read()));
  if (change) d.write(w.from64(change(value, i64.shl(c64(1), place))));
  setCarry(e, bit(i64.shrU(value, place)));
}

const bitTests: readonly Definition[] = BIT_TESTS.flatMap(({ name, change }) => {
  const effect = (e: Emitter, d: Operand, s: Operand): void =>
    testBit(e, d, e.let(s.width.unsigned64(s.read())), change);
  const intents = [change ? 'modify' : 'read'] as const;
  return [
    { name, shapes: ['E,i'], sizes: WORD_SIZES.map((bytes) => [bytes, 1] as const), intents, effect },
    { name, shapes: ['r,r'], sizes: WORD_SIZES, intents, effect },
  ];
});

/**
 * With memory and a register, the operand is a bit string: the offset is signed and reaches beyond the addressed operand
 * (SDM 2A, BT). The operand that holds the bit is the one accessed.
 */
function bitString(e: Emitter, bytes: Bytes, flat: boolean, offset: I64, write: boolean): I64 {
  const log = Math.log2(bytes);
  const moved = i64.shl(i64.shrS(offset, c64(log + 3)), c64(log));
  if (flat) return e.let(i64.add(e.flatAddress(), moved));
  const reached = i64.and(i64.add(e.offset(), moved), e.addressMask());
  const access = [i32.const(bytes), i32.const(write ? 1 : 0)];
  const linear = e.let(call64(e.shared.segmentedLinear, e.segment(), reached, ...access));
  e.checkFault();
  return linear;
}

const bitStrings: readonly Handler[] = BIT_TESTS.flatMap(({ name, change }) =>
  WORD_SIZES.flatMap((bytes) =>
    (['m', 'g'] as const).map((kind) => ({
      key: handlerKey(name, [
        { kind, bytes },
        { kind: 'r', bytes },
      ]),
      build: (e: Emitter) => {
        const offset = e.let(widthOf(bytes).signed64(e.register('first', bytes).read()));
        const locate = (): I64 => bitString(e, bytes, kind === 'm', offset, change !== undefined);
        testBit(e, e.memoryAt(locate, bytes, change ? 'modify' : 'read'), offset, change);
        e.next();
      },
    })),
  ),
);

// Counts ------------------------------------------------------------------------------------------------------------------

/** BSF and BSR leave the destination alone (upper half too) where the source is 0; the manual calls it undefined. */
const scan = (name: string, find: (value: I64) => I64): Definition => ({
  name,
  shapes: ['r,E'],
  sizes: WORD_SIZES,
  effect: (e, d, s) => {
    const w = d.width;
    const value = e.let(w.unsigned64(s.read()));
    const empty = e.let(i64.eqz(value));
    const found = e.let(select(empty, c64(0), find(value)));
    const keep = e.capture(() => d.write(w.from64(found)));
    e.emit(when(i32.eqz(empty), keep));
    setLogicFlags(e, w, w.from64(found));
    setZero(e, empty);
  },
});

/** FLAG_SR with this value: SF = 0, PF = 0. */
export const NO_SIGN_NO_PARITY = 1;

export const clearSignAndParity = (e: Emitter): void => e.setFlag('sign', c64(NO_SIGN_NO_PARITY));

/** LZCNT and TZCNT: CF = source is 0, ZF = result is 0; OF stays. */
const countZeros = (name: string, count: (w: Width, value: I64) => I64): Definition => ({
  name,
  shapes: ['r,E'],
  sizes: WORD_SIZES,
  effect: (e, d, s) => {
    const w = d.width;
    const value = e.let(w.unsigned64(s.read()));
    const result = e.let(count(w, value));
    d.write(w.from64(result));
    clearSignAndParity(e);
    setZero(e, i64.eqz(result));
    setAuxiliary(e, i32.const(0));
    setCarry(e, i64.eqz(value));
  },
});

const trailing = (w: Width, value: I64): I64 =>
  i64.ctz(w.bytes === 8 ? value : i64.or(value, c64(1n << BigInt(w.bits))));
const leading = (w: Width, value: I64): I64 => i64.sub(i64.clz(value), c64(64 - w.bits));

/** ZF = source is 0; all others cleared, PF too. */
const POPCNT: Definition = {
  name: 'popcnt',
  shapes: ['r,E'],
  sizes: WORD_SIZES,
  effect: (e, d, s) => {
    const value = e.let(d.width.unsigned64(s.read()));
    d.write(d.width.from64(i64.popcnt(value)));
    clearSignAndParity(e);
    setZero(e, i64.eqz(value));
    setAuxiliary(e, i32.const(0));
    setCarryVector(e, c64(0));
  },
};

// BMI1 and BMI2 -----------------------------------------------------------------------------------------------------------

const BMI_SIZES: readonly Bytes[] = [4, 8];

/** Logic flags of the result, and CF as given. */
function setWithCarry(e: Emitter, w: Width, result: I64, carry: I32): void {
  setLogicFlags(e, w, w.from64(result));
  setCarryOverflow(e, carry, i32.const(0));
}

const ANDN: Definition = {
  name: 'andn',
  shapes: ['r,r,E'],
  sizes: BMI_SIZES,
  effect: (e, d, s, t) => {
    const w = d.width;
    const b = t.read();
    const r = e.let(w.and(w.xor(s.read(), w.const(-1)), b));
    d.write(r);
    setLogicFlags(e, w, r);
  },
};

/** Bits `start` (low byte of the control) and up, `length` (next byte) of them. */
const BEXTR: Definition = {
  name: 'bextr',
  shapes: ['r,E,r'],
  sizes: BMI_SIZES,
  effect: (e, d, s, t) => {
    const w = d.width;
    const value = e.let(w.unsigned64(s.read()));
    const control = e.let(w.unsigned64(t.read()));
    const start = e.let(i64.and(control, c64(255)));
    const length = e.let(i64.and(i64.shrU(control, c64(8)), c64(255)));
    const moved = e.let(select(i64.gtU(start, c64(63)), c64(0), i64.shrU(value, start)));
    const r = e.let(select(i64.gtU(length, c64(63)), moved, i64.and(moved, lowOnes(length))));
    d.write(w.from64(r));
    setLogicFlags(e, w, w.from64(r));
    setAuxiliary(e, i32.const(1));
  },
};

const lowOnes = (count: I64): I64 => i64.sub(i64.shl(c64(1), count), c64(1));

const BZHI: Definition = {
  name: 'bzhi',
  shapes: ['r,E,r'],
  sizes: BMI_SIZES,
  effect: (e, d, s, t) => {
    const w = d.width;
    const value = e.let(w.unsigned64(s.read()));
    const kept = e.let(i64.and(w.unsigned64(t.read()), c64(255)));
    const beyond = e.let(i64.gtU(kept, c64(w.bits - 1)));
    const r = e.let(select(beyond, value, i64.and(value, lowOnes(kept))));
    d.write(w.from64(r));
    setWithCarry(e, w, r, beyond);
  },
};

/** BLSI BLSMSK BLSR: what they do to the lowest set bit. CF tells whether the source was 0, or was not. */
const lowestBit = (name: string, compute: (value: I64) => I64, carryOnZero: boolean): Definition => ({
  name,
  shapes: ['r,E'],
  sizes: BMI_SIZES,
  effect: (e, d, s) => {
    const w = d.width;
    const value = e.let(w.unsigned64(s.read()));
    const r = e.let(compute(value));
    d.write(w.from64(r));
    const zero = isZero(w, value);
    setWithCarry(e, w, r, carryOnZero ? zero : i32.eqz(zero));
  },
});

const negative = (value: I64): I64 => i64.sub(c64(0), value);
const below = (value: I64): I64 => i64.sub(value, c64(1));

/** PDEP and PEXT: walks over the mask's set bits from the lowest, with a second bit that moves up by one each time. */
const scatter = (name: 'pdep' | 'pext'): Definition => ({
  name,
  shapes: ['r,r,E'],
  sizes: BMI_SIZES,
  effect: (e, d, s, t) => {
    const w = d.width;
    const source = e.let(w.unsigned64(s.read()));
    const mask = e.local('i64');
    const dense = e.local('i64');
    const sparse = e.local('i64');
    const result = e.local('i64');
    const again = label('mask bits');
    const [from, to] = name === 'pdep' ? [dense, sparse] : [sparse, dense];
    const taken = i64.eqz(i64.and(source, get(from)));
    e.emit(
      set(mask, w.unsigned64(t.read())),
      set(dense, c64(1)),
      set(result, c64(0)),
      loop(
        again,
        set(sparse, i64.and(get(mask), negative(get(mask)))),
        set(result, i64.or(get(result), select(taken, c64(0), get(to)))),
        set(mask, i64.xor(get(mask), get(sparse))),
        set(dense, i64.shl(get(dense), c64(1))),
        brIf(again, i32.eqz(i64.eqz(get(mask)))),
      ),
    );
    d.write(w.from64(get(result)));
  },
});

// Others ------------------------------------------------------------------------------------------------------------------

/** ADCX adds with CF, ADOX with OF; each leaves every other flag alone. */
const addWithFlag = (name: string, viaCarry: boolean): Definition => ({
  name,
  shapes: ['r,E'],
  sizes: BMI_SIZES,
  effect: (e, d, s) => {
    const w = d.width;
    const a = e.let(d.read());
    const b = e.let(s.read());
    const carryIn = e.let(w.from32(viaCarry ? readCF(e) : readOF(e)));
    const partial = e.let(w.narrow(w.add(a, b)));
    const sum = e.let(w.narrow(w.add(partial, carryIn)));
    const carryOut = e.let(i32.or(w.ltU(partial, a), w.ltU(sum, partial)));
    d.write(sum);
    if (viaCarry) setCarry(e, carryOut);
    else setCarryOverflow(e, e.let(readCF(e)), carryOut);
  },
});

const MOVBE: Definition = {
  name: 'movbe',
  shapes: ['r,M', 'M,r'],
  sizes: WORD_SIZES,
  intents: ['write', 'read'],
  effect: (e, d, s) => {
    const w = d.width;
    const value = e.let(w.unsigned64(s.read()));
    d.write(w.from64(i64.shrU(byteSwap64(value), c64(64 - w.bits))));
  },
};

/** CRC-32C, polynomial 0x11EDC6F41, bits reflected. */
const CRC_POLYNOMIAL = 0x82f63b78;
const CRC_SIZES = [
  [4, 1],
  [4, 2],
  [4, 4],
  [8, 1],
  [8, 8],
] as const;

const CRC32: Definition = {
  name: 'crc32',
  shapes: ['r,E'],
  sizes: CRC_SIZES,
  effect: (e, d, s) => {
    const w = s.width;
    const sum = e.local('i64');
    const left = e.local('i32');
    const again = label('bits');
    const folded = i64.and(negative(i64.and(get(sum), c64(1))), c64(CRC_POLYNOMIAL));
    const before = i64.and(d.width.unsigned64(d.read()), c64(0xffffffff));
    e.emit(
      set(sum, i64.xor(before, w.unsigned64(s.read()))),
      set(left, i32.const(w.bits)),
      loop(
        again,
        set(sum, i64.xor(i64.shrU(get(sum), c64(1)), folded)),
        set(left, i32.sub(get(left), i32.const(1))),
        brIf(again, get(left)),
      ),
    );
    d.write(d.width.from64(get(sum)));
  },
};

export const bits: readonly Definition[] = [
  ...bitTests,
  scan('bsf', (value) => i64.ctz(value)),
  scan('bsr', (value) => i64.xor(i64.clz(value), c64(63))),
  countZeros('lzcnt', leading),
  countZeros('tzcnt', trailing),
  POPCNT,
  ANDN,
  BEXTR,
  BZHI,
  lowestBit('blsi', (value) => i64.and(value, negative(value)), false),
  lowestBit('blsmsk', (value) => i64.xor(value, below(value)), true),
  lowestBit('blsr', (value) => i64.and(value, below(value)), true),
  scatter('pdep'),
  scatter('pext'),
  addWithFlag('adcx', true),
  addWithFlag('adox', false),
  MOVBE,
  CRC32,
];

export const bitHandlers: readonly Handler[] = bitStrings;
