// Watches a stretch of a run for the last time that something comes to be so. What is told is the moment right before it:
// one step further it is so. A register is held against what it was by looking at the instructions that may write it.

import { type Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register, RegisterExt } from 'iced-x86';
import { PAGE_SIZE, type PhysAddr } from '../bits/address.ts';
import type { Engine } from '../cpu/interpret/engine.ts';
import type { Observation, Watched } from '../cpu/interpret/observing.ts';
import { isFault } from '../cpu/state/cpu.ts';
import { stringAddressBits } from '../cpu/decode/operands.ts';
import * as at from '../cpu/state/layout.ts';
import { FLAGS, SEG, type SegmentIndex } from '../cpu/state/state.ts';
import type { BootRun, RunObserver } from './run.ts';
import type { Moment } from './timeline.ts';

export type Sought =
  /** The instruction at that linear address is next. */
  | { readonly kind: 'executed'; readonly linear: bigint }
  /** A store to bytes of RAM, by an instruction, an exception or a chip; not the accessed and dirty bits of a page walk. */
  | { readonly kind: 'written'; readonly address: PhysAddr; readonly length: number }
  /** A general register (by encoding number) comes to hold another value, or that one. Task switches are not seen. */
  | { readonly kind: 'register'; readonly register: number; readonly to?: bigint }
  /** An exception (not INT n, not an interrupt), or one by its vector. */
  | { readonly kind: 'fault'; readonly vector?: number }
  /** An access to a port of its number, in either direction or in one. */
  | { readonly kind: 'port'; readonly port: number; readonly write?: boolean };

/** What was seen last. */
export type Lookout = { readonly last: Moment | undefined; readonly observation: Observation };

type Of<K extends Sought['kind']> = Extract<Sought, { kind: K }>;

const RSP = 4;

/** Watches from now on; whoever wants it no longer disposes of the observation. @param end what is seen later does not count */
export function lookout(run: BootRun, sought: Sought, end: Moment): Lookout {
  let last: Moment | undefined;
  const observation = observe(run, sought, (moment) => {
    if (isBefore(moment, end)) last = moment;
  });
  return {
    observation,
    get last() {
      return last;
    },
  };
}

const isBefore = (a: Moment, b: Moment): boolean =>
  a.instructions < b.instructions || (a.instructions === b.instructions && (a.iterations ?? 0) < (b.iterations ?? 0));

type Seen = (moment: Moment) => void;

function observe(run: BootRun, sought: Sought, seen: Seen): Observation {
  const { engine } = run.machine;
  switch (sought.kind) {
    case 'executed': {
      const observation = run.observe({ instruction: (reached) => seen({ instructions: reached.at }) });
      observation.probe({ linear: sought.linear });
      return observation;
    }
    case 'written':
      return storing(run, sought, seen);
    case 'register':
      return changing(run, sought, seen);
    case 'fault':
      return run.observe({
        fault: ({ vector }) => {
          if (sought.vector === undefined || vector === sought.vector) seen({ instructions: engine.retired });
        },
      });
    default:
      return run.observe({
        port: ({ port, size, write }) => {
          const reaches = sought.port >= port && sought.port < port + size;
          if (reaches && (sought.write ?? write) === write) seen({ instructions: engine.retired });
        },
      });
  }
}

// Stores ----------------------------------------------------------------------------------------------------------------

function storing(run: BootRun, { address, length }: Of<'written'>, seen: Seen): Observation {
  const end = address + length;
  const observation = run.observe({
    access: (watched) => {
      const iteration = lastStoreTo(run, watched, address, end);
      if (iteration !== undefined) seen(momentOf(watched.at, iteration));
    },
    stored: ({ address: from, size, at: instructions }) => {
      if (from < end && from + size > address) seen({ instructions });
    },
  });
  observation.watch(address, length, at.PAGE_WATCH_WRITE);
  return observation;
}

const momentOf = (instructions: bigint, iterations: number): Moment =>
  iterations === 0 ? { instructions } : { instructions, iterations };

/** The last iteration of the instruction about to run that stores there, 0 for one that repeats nothing; undefined where none does. */
function lastStoreTo(run: BootRun, watched: Watched, start: number, end: number): number | undefined {
  if (!watched.write) return undefined;
  const insn = run.machine.engine.currentInstruction();
  if (isFault(insn)) return undefined;
  const piece = pieceOf(run, insn);
  insn.free();
  if (piece === undefined) {
    return watched.address < end && watched.address + watched.size > start ? 0 : undefined;
  }
  const { first, bytes, count, down } = piece;
  // Elements from `first` on, upwards or downwards: the last one of those that reach into the range.
  const most = down ? Math.floor((first + bytes - 1 - start) / bytes) : Math.floor((end - 1 - first) / bytes);
  const least = down ? Math.ceil((first - (end - 1)) / bytes) : Math.ceil((start - (first + bytes - 1)) / bytes);
  const last = Math.min(most, count - 1);
  return last >= Math.max(0, least) ? last : undefined;
}

type Piece = { readonly first: number; readonly bytes: number; readonly count: number; readonly down: boolean };

const [RCX, RSI, RDI] = [1, 6, 7];
const STORED_BYTES = new Map<Mnemonic, number>([
  ...([
    [Mnemonic.Movsb, 1],
    [Mnemonic.Movsw, 2],
    [Mnemonic.Movsd, 4],
    [Mnemonic.Movsq, 8],
  ] as const),
  ...([
    [Mnemonic.Stosb, 1],
    [Mnemonic.Stosw, 2],
    [Mnemonic.Stosd, 4],
    [Mnemonic.Stosq, 8],
  ] as const),
]);
const MOVES = new Set([Mnemonic.Movsb, Mnemonic.Movsw, Mnemonic.Movsd, Mnemonic.Movsq]);

/** What a string instruction stores in one count: elements within a page of its destination and of its source. */
function pieceOf(run: BootRun, insn: Instruction): Piece | undefined {
  const { engine } = run.machine;
  const { state } = engine;
  const bytes = STORED_BYTES.get(insn.mnemonic);
  const bits = stringAddressBits(insn);
  if (bytes === undefined || bits === undefined) return undefined;
  const offset = (register: number): bigint => BigInt.asUintN(bits, state.reg(register));
  const target = offset(RDI) + baseOf(engine, SEG.ES);
  const first = engine.translate(BigInt.asUintN(64, target), { implicit: true });
  if (isFault(first)) return undefined;
  const down = (state.rflags & FLAGS.DF) !== 0;
  const room = (address: bigint): number => {
    const place = Number(address & 0xfffn);
    return Math.max(1, down ? Math.floor(place / bytes) + 1 : Math.floor((PAGE_SIZE - place) / bytes));
  };
  const repeats = insn.hasRepPrefix || insn.hasRepnePrefix;
  const left = repeats ? Number(offset(RCX) > 0xffffn ? 0xffffn : offset(RCX)) : 1;
  const from = offset(RSI) + baseOf(engine, (insn.memorySegment - Register.ES) as SegmentIndex);
  const source = MOVES.has(insn.mnemonic) ? room(from) : left;
  return { first, bytes, down, count: Math.min(left, room(target), source) };
}

/** FS and GS alone have a base in 64-bit mode. */
const baseOf = ({ mode, state }: Engine, segment: SegmentIndex): bigint =>
  mode.bitness === 64 && segment < SEG.FS ? 0n : state.segment(segment).base;

// Registers ---------------------------------------------------------------------------------------------------------------

const WRITES = new Set<number>([OpAccess.Write, OpAccess.ReadWrite, OpAccess.CondWrite, OpAccess.ReadCondWrite]);

/** Which register is written by name is known of each instruction; what came of it shows at the next of them. */
function changing(run: BootRun, { register, to }: Of<'register'>, seen: Seen): Observation {
  const { engine } = run.machine;
  const full = Register.RAX + register;
  const factory = new InstructionInfoFactory();
  let before = engine.state.reg(register);
  let candidate: bigint | undefined;
  const settle = (): void => {
    const now = engine.state.reg(register);
    if (candidate !== undefined && now !== before && (to === undefined || now === to))
      seen({ instructions: candidate });
    before = now;
  };
  const about = (): void => {
    settle();
    candidate = engine.retired;
  };
  // The stack pointer is moved by frames of exceptions and interrupts too: it is looked at before each instruction.
  const observer: RunObserver =
    register === RSP ? { step: about } : { choose: (insn) => writes(factory, insn, full), instruction: about };
  return run.observe(observer).with(() => {
    settle();
    factory.free();
  });
}

function writes(factory: InstructionInfoFactory, insn: Instruction, full: Register): boolean {
  const info = factory.info(insn);
  const used = info.usedRegisters();
  const found = used.some((use) => WRITES.has(use.access) && RegisterExt.fullRegister(use.register) === full);
  for (const use of used) use.free();
  info.free();
  return found;
}
