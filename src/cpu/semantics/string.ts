// MOVS STOS LODS SCAS CMPS (SDM 2), each alone and with REP, in two forms: `m` for 64-bit addresses without a segment,
// `g` for everything else. A repeated instruction works in pieces: as many elements as lie in the current page of its
// source and of its destination, in host memory at once. After a piece the registers tell what is left, and where that
// is something, the same instruction comes again; so a fault in a later piece finds them right (SDM 2B, REP), runs stay
// bounded, and an element that straddles pages, or lies in no plain RAM, is a piece of its own.

import { PAGE_SIZE } from '../../bits/address.ts';
import {
  brIf,
  call32,
  call64,
  type Expr,
  get,
  type I32,
  type I64,
  i32,
  i64,
  type Local,
  label,
  loop,
  memoryCopy,
  memoryFill,
  type Stmt,
  select,
  set,
  type ValType,
  when,
} from '../../wasm/code.ts';
import { FLAGS } from '../../x86/flags.ts';
import { GPR } from '../../x86/registers.ts';
import type { Emitter } from './emitter.ts';
import * as at from '../state/layout.ts';
import { type Bytes, type Width, widthOf } from '../state/width.ts';
import { setSubFlags } from './flags.ts';
import { ALL_SIZES, type Handler } from './handler.ts';

const { RAX, RCX, RSI, RDI } = GPR;
const ES = 0;
const { DF } = FLAGS;
const c32 = i32.const;
const c64 = i64.const;
type V = Expr<ValType>;
/** Below this many elements a loop is quicker than memory.copy and memory.fill. */
const FEW = 8;

type Form = 'm' | 'g';
type Operation = 'movs' | 'stos' | 'lods' | 'scas' | 'cmps';
type Repeat = 'none' | 'rep' | 'repe' | 'repne';
/** A pointer: which register, and whether it is written through. */
type Side = { readonly register: number; readonly write: boolean };

const SIDES: Record<Operation, readonly Side[]> = {
  movs: [
    { register: RSI, write: false },
    { register: RDI, write: true },
  ],
  stos: [{ register: RDI, write: true }],
  lods: [{ register: RSI, write: false }],
  scas: [{ register: RDI, write: false }],
  cmps: [
    { register: RSI, write: false },
    { register: RDI, write: false },
  ],
};

/** What every piece of one handler needs. */
type Frame = {
  readonly e: Emitter;
  readonly form: Form;
  readonly w: Width;
  readonly log: number;
  /** Not 0 where the pointers go down. */
  readonly down: I32;
  /** Bytes the pointers move by for an element, signed. */
  readonly step: I64;
  /** Bits of a pointer that count; general form only. */
  readonly mask: I64;
};

function makeFrame(e: Emitter, bytes: Bytes, form: Form): Frame {
  const log = Math.log2(bytes);
  const down = e.let(i32.and(i32.load(c32(at.FLAGS_REST)), c32(DF)));
  const twice = i32.shrU(down, c32(9 - log));
  const step = e.let(i64.extendS(i32.sub(c32(bytes), twice)));
  const mask = form === 'm' ? c64(-1) : e.let(e.addressMask());
  return { e, form, w: widthOf(bytes), log, down, step, mask };
}

// Pointers and the count --------------------------------------------------------------------------------------------------

const whole = (e: Emitter, index: number): I64 => e.fixed(index, 8).read() as I64;

const readIndex = ({ e, form, mask }: Frame, index: number): I64 =>
  form === 'm' ? whole(e, index) : i64.and(whole(e, index), mask);

/** Writes a pointer or the count by the address size: 16 bits leave the rest alone, 32 bits clear the upper half. */
function writeIndex({ e, form, mask }: Frame, index: number, value: I64): void {
  const wide = e.fixed(index, 8);
  if (form === 'm') return wide.write(value);
  const short = e.capture(() => e.setLowWord(index, value));
  const long = e.capture(() => wide.write(i64.and(value, mask)));
  e.emit(when(i64.eq(mask, c64(0xffff)), short, long));
}

/** Linear address of `size` bytes at an offset of a side; the destination's segment is always ES. */
function linearOf({ e, form }: Frame, side: Side, offset: I64, size: I32): I64 {
  if (form === 'm') return offset;
  const segment = side.register === RDI ? c32(ES) : e.segment();
  return call64(e.shared.segmentedLinear, segment, offset, size, c32(side.write ? 1 : 0));
}

/** Linear address of the side's current element; leaves on a fault. */
function elementOf(f: Frame, side: Side): I64 {
  const linear = f.e.let(linearOf(f, side, readIndex(f, side.register), c32(f.w.bytes)));
  if (f.form === 'g') f.e.checkFault();
  return linear;
}

function advance(f: Frame, operation: Operation, elements: I64): void {
  const distance = f.e.let(i64.mul(f.step, elements));
  for (const { register } of SIDES[operation]) {
    writeIndex(f, register, i64.add(whole(f.e, register), distance));
  }
}

// One element -------------------------------------------------------------------------------------------------------------

/** What SCAS and CMPS compare: accumulator or source, and destination. */
type Compared = { readonly first: Local<ValType>; readonly second: Local<ValType> };

const accumulator = ({ e, w }: Frame): V => e.fixed(RAX, w.bytes).read();

/** One element by ordinary accesses. */
function single(f: Frame, operation: Operation, compared: Compared | undefined): void {
  const { e, w } = f;
  const loaded = SIDES[operation].filter((side) => !side.write).map((side) => e.load(elementOf(f, side), w.bytes));
  const [value, second] = loaded as [V, V];
  if (operation === 'movs') e.store(elementOf(f, SIDES.movs[1] as Side), w.bytes, value);
  else if (operation === 'stos') e.store(elementOf(f, SIDES.stos[0] as Side), w.bytes, accumulator(f));
  else if (operation === 'lods') e.fixed(RAX, w.bytes).write(value);
  else if (compared && operation === 'scas') e.emit(set(compared.second, value));
  else if (compared) e.emit(set(compared.first, value), set(compared.second, second));
}

function makeCompared(f: Frame, operation: Operation): Compared | undefined {
  if (operation !== 'scas' && operation !== 'cmps') return undefined;
  const compared = { first: f.e.local(f.w.type), second: f.e.local(f.w.type) };
  if (operation === 'scas') f.e.emit(set(compared.first, accumulator(f)));
  return compared;
}

function setComparedFlags({ e, w }: Frame, { first, second }: Compared): void {
  const [a, b] = [get(first), get(second)];
  setSubFlags(e, w, a, b, e.let(w.narrow(w.sub(a, b))));
}

function buildPlain(e: Emitter, operation: Operation, bytes: Bytes, form: Form): void {
  const f = makeFrame(e, bytes, form);
  const compared = makeCompared(f, operation);
  single(f, operation, compared);
  advance(f, operation, c64(1));
  if (compared) setComparedFlags(f, compared);
  e.next();
}

// Pieces ------------------------------------------------------------------------------------------------------------------

/** Whole elements from a linear address to its page's end (or start); 0 where the first one runs over it. */
function room({ e, w, log, down }: Frame, linear: I64): I32 {
  const offset = e.let(i32.and(i32.wrap(linear), c32(PAGE_SIZE - 1)));
  const upwards = i32.shrU(i32.sub(c32(PAGE_SIZE), offset), c32(log));
  const downwards = i32.add(i32.shrU(offset, c32(log)), c32(1));
  return select(down, select(i32.gtU(offset, c32(PAGE_SIZE - w.bytes)), c32(0), downwards), upwards);
}

const smaller = (e: Emitter, a: I64, b: I64): I64 => e.let(select(i64.ltU(a, b), a, b));

/** Elements before the offset wraps round; where the last one is left out, it makes a piece of its own. */
const beforeWrap = (f: Frame, offset: I64): I64 =>
  select(f.down, i64.add(i64.shrU(offset, c64(f.log)), c64(1)), i64.shrU(i64.sub(f.mask, offset), c64(f.log)));

type Piece = {
  /** Elements; 0 where the next one has to go by ordinary accesses. */
  readonly elements: Local<'i32'>;
  /** Host address of each side's first element. */
  readonly hosts: readonly I32[];
};

/** Finds the next piece; leaves on a fault at its first element. */
function findPiece(f: Frame, operation: Operation, count: I64): Piece {
  const { e } = f;
  const elements = e.local('i32');
  let most = count;
  const hosts = SIDES[operation].map((side) => {
    const linear = elementOf(f, side);
    const host = e.let(call32(e.shared.hostOf, linear, c32(side.write ? 1 : 0)));
    e.emit(when(i32.eqz(host), e.host.fault()));
    most = smaller(e, most, i64.extendU(room(f, linear)));
    if (f.form === 'g') most = smaller(e, most, beforeWrap(f, readIndex(f, side.register)));
    return host;
  });
  e.emit(set(elements, i32.wrap(most)));
  if (f.form === 'g') checkExtents(f, operation, elements);
  for (const host of hosts) e.emit(when(i32.eq(host, c32(1)), set(elements, c32(0))));
  return { elements, hosts };
}

/** Where not all of the piece lies within its segments, only its first element (already checked) does for now. */
function checkExtents(f: Frame, operation: Operation, elements: Local<'i32'>): void {
  const { e, w } = f;
  const vector = c32(at.FAULT_VECTOR);
  const back = i64.extendU(i32.mul(i32.sub(get(elements), c32(1)), c32(w.bytes)));
  for (const side of SIDES[operation]) {
    const offset = readIndex(f, side.register);
    const lowest = select(f.down, i64.sub(offset, back), offset);
    const size = i32.mul(get(elements), c32(w.bytes));
    const check = e.capture(() => {
      e.let(linearOf(f, side, lowest, size));
      const outside = i32.ne(i32.load(vector), c32(at.FAULT_NONE));
      e.emit(when(outside, [i32.store(vector, c32(at.FAULT_NONE)), set(elements, c32(1))]));
    });
    e.emit(when(i32.gtU(get(elements), c32(1)), check));
  }
}

/** Runs `body` for each element until it has run for all of the piece, or `stop` holds after it. */
function each(f: Frame, piece: Piece, body: (pointers: readonly I32[]) => Stmt, stop?: I32): void {
  const { e } = f;
  const again = label('elements');
  const left = e.local('i32');
  const pointers = piece.hosts.map((host) => {
    const pointer = e.local('i32');
    e.emit(set(pointer, host));
    return pointer;
  });
  const more = get(left);
  e.emit(
    set(left, get(piece.elements)),
    loop(
      again,
      body(pointers.map((pointer) => get(pointer))),
      ...pointers.map((pointer) => set(pointer, i32.add(get(pointer), i32.wrap(f.step)))),
      set(left, i32.sub(get(left), c32(1))),
      brIf(again, stop ? i32.and(i32.ne(more, c32(0)), i32.eqz(stop)) : more),
    ),
  );
  if (stop) e.emit(set(piece.elements, i32.sub(get(piece.elements), more)));
}

const sizeOf = ({ log }: Frame, { elements }: Piece): I32 => i32.shl(get(elements), c32(log));

/** Lowest host address of a piece, whichever way it is walked. */
const lowestOf = (f: Frame, piece: Piece, host: I32): I32 =>
  select(f.down, i32.sub(host, i32.sub(sizeOf(f, piece), c32(f.w.bytes))), host);

/**
 * Host memory is copied at once unless the destination begins inside what is still to be read: then each element copied
 * is the source of a later one, and the order shows.
 */
function moveAll(f: Frame, piece: Piece): void {
  const { e, w, down } = f;
  const [from, to] = piece.hosts as [I32, I32];
  const ahead = select(down, i32.sub(from, to), i32.sub(to, from));
  const overlaps = i32.ltU(i32.sub(ahead, c32(1)), i32.sub(sizeOf(f, piece), c32(1)));
  const oneByOne = e.capture(() => each(f, piece, ([source, target]) => w.store(target as I32, w.load(source as I32))));
  const atOnce = memoryCopy(lowestOf(f, piece, to), lowestOf(f, piece, from), sizeOf(f, piece));
  e.emit(when(i32.or(overlaps, i32.ltU(get(piece.elements), c32(FEW))), oneByOne, atOnce));
}

const ONES = { 1: 1n, 2: 0x0101n, 4: 0x01010101n, 8: 0x0101010101010101n } as const;

function fillAll(f: Frame, piece: Piece): void {
  const { e, w } = f;
  const value = e.let(accumulator(f));
  const byte = w.and(value, w.const(0xff));
  const uniform = w.eq(value, w.mul(byte, w.const(ONES[w.bytes])));
  const oneByOne = e.capture(() => each(f, piece, ([target]) => w.store(target as I32, value)));
  const atOnce = memoryFill(lowestOf(f, piece, piece.hosts[0] as I32), w.to32(byte), sizeOf(f, piece));
  e.emit(when(i32.and(uniform, i32.geU(get(piece.elements), c32(FEW))), atOnce, oneByOne));
}

/** Only the last element stays in the accumulator. */
function loadLast(f: Frame, piece: Piece): void {
  const before = i32.mul(i32.sub(get(piece.elements), c32(1)), i32.wrap(f.step));
  f.e.fixed(RAX, f.w.bytes).write(f.w.load(i32.add(piece.hosts[0] as I32, before)));
}

function compareAll(f: Frame, piece: Piece, compared: Compared, stop: I32): void {
  const { w } = f;
  const load = ([a, b]: readonly I32[]): Stmt =>
    b
      ? [set(compared.first, w.load(a as I32)), set(compared.second, w.load(b))]
      : set(compared.second, w.load(a as I32));
  each(f, piece, load, stop);
}

function buildRepeated(e: Emitter, operation: Operation, bytes: Bytes, form: Form, repeat: Repeat): void {
  const f = makeFrame(e, bytes, form);
  const count = e.let(readIndex(f, RCX));
  e.nextWhen(i64.eqz(count));
  const compared = makeCompared(f, operation);
  const same = compared ? f.w.eq(get(compared.first), get(compared.second)) : c32(0);
  const stop = repeat === 'repe' ? i32.eqz(same) : same;
  const piece = findPiece(f, operation, count);
  const bulk = e.capture(() => {
    if (compared) compareAll(f, piece, compared, stop);
    else if (operation === 'movs') moveAll(f, piece);
    else if (operation === 'stos') fillAll(f, piece);
    else loadLast(f, piece);
  });
  const one = e.capture(() => {
    single(f, operation, compared);
    e.emit(set(piece.elements, c32(1)));
  });
  e.emit(when(get(piece.elements), bulk, one));
  const done = e.let(i64.extendU(get(piece.elements)));
  advance(f, operation, done);
  const left = e.let(i64.sub(count, done));
  writeIndex(f, RCX, left);
  // SCAS and CMPS set flags once, at the end: a fault before it shows them as they were (SDM 2B, REP).
  const finished = compared ? i32.or(i64.eqz(left), stop) : i64.eqz(left);
  const finish = e.capture(() => {
    if (compared) setComparedFlags(f, compared);
    e.next();
  });
  e.emit(when(finished, finish), e.host.again());
}

// Handlers ----------------------------------------------------------------------------------------------------------------

const LETTERS = { 1: 'b', 2: 'w', 4: 'd', 8: 'q' } as const;
const REPEATS: Record<Operation, readonly Repeat[]> = {
  movs: ['none', 'rep'],
  stos: ['none', 'rep'],
  lods: ['none', 'rep'],
  scas: ['none', 'repe', 'repne'],
  cmps: ['none', 'repe', 'repne'],
};

/** Keys: `movsq m`, `rep.stosb m`, `repne.scasb g`. */
export const stringHandlers: readonly Handler[] = (Object.keys(SIDES) as Operation[]).flatMap((operation) =>
  ALL_SIZES.flatMap((bytes) =>
    (['m', 'g'] as const).flatMap((form) =>
      REPEATS[operation].map((repeat) => ({
        key: `${repeat === 'none' ? '' : `${repeat}.`}${operation}${LETTERS[bytes]} ${form}`,
        build: (e: Emitter) =>
          repeat === 'none' ? buildPlain(e, operation, bytes, form) : buildRepeated(e, operation, bytes, form, repeat),
      })),
    ),
  ),
);
