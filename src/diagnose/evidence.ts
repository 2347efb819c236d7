// Facts about a death: the first exception or the place of the stop, the bytes there, and who wrote them.

import { Mnemonic } from 'iced-x86';
import { type PhysAddr, physAddr } from '../bits/address.ts';
import { BootRun, type Outcome } from '../boot/run.ts';
import { isFault } from '../cpu/cpu.ts';
import * as at from '../cpu/layout.ts';
import type { SymbolTable } from '../image/symbols.ts';
import { driveUntil } from './drive.ts';
import { instructionAt } from './instructionAt.ts';
import type { Evidence, InstructionAt, Tick, Writer } from './types.ts';

/** A death later than this is not run again only to find who wrote the bytes at its end. */
const WRITER_LIMIT = 100_000_000n;

const placeOfDeath = (run: BootRun, outcome: Outcome): bigint => {
  const { state } = run.machine.engine;
  const base = run.machine.engine.mode.base;
  if (outcome.kind === 'triple-fault') return (outcome.chain[0]?.rip ?? state.rip) + base;
  // After HLT the instruction pointer stands behind it.
  if (outcome.kind === 'halt') return outcome.rip - 1n + base;
  return state.rip + base;
};

const lastLine = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.length > 0)
    .slice(-2)
    .join(' ');

/** @param run ended with `outcome` */
export function* gatherEvidence(
  run: BootRun,
  outcome: Outcome,
  symbols: SymbolTable | undefined,
): Generator<Tick, Evidence> {
  const place = placeOfDeath(run, outcome);
  const where = instructionAt(run, place, symbols);
  const text = run.machine.console.text;
  const evidence = { outcome, at: where, silent: text.length === 0, lastWords: lastLine(text) };
  if (!where || where.fileOffset !== undefined || outcome.instructions > WRITER_LIMIT) return evidence;
  const physical = run.machine.engine.translate(place, { implicit: true });
  if (isFault(physical)) return evidence;
  const writer = yield* lastWriter(run, physical, outcome, symbols);
  return writer ? { ...evidence, writer } : evidence;
}

const MOVES = new Set([Mnemonic.Movsb, Mnemonic.Movsw, Mnemonic.Movsd, Mnemonic.Movsq]);
const RSI = 6;

type Store = { at: bigint; instruction: InstructionAt | undefined; source: bigint | undefined; from: number; to: number };

/** The same run again, watching the page: the last store that covered the byte. */
function* lastWriter(
  died: BootRun,
  target: PhysAddr,
  outcome: Outcome,
  symbols: SymbolTable | undefined,
): Generator<Tick, Writer | undefined> {
  const again = new BootRun(died.config, died.image);
  const { engine, memory } = again.machine;
  if (memory.hostOf(target) === undefined) return undefined;
  let last: Store | undefined;
  const payloadWatch = engine.onWatch;
  engine.watch(target, 1, at.PAGE_WATCH_WRITE, true);
  engine.onWatch = (watched) => {
    payloadWatch?.(watched);
    if (!watched.write) return;
    const store = storeOf(again, watched, symbols);
    if (store && store.from <= target && target < store.to) last = store;
  };
  yield* driveUntil(again, outcome.instructions, 'looking for who wrote the bytes');
  if (!last?.instruction) return undefined;
  return {
    instruction: last.instruction,
    instructions: last.at,
    ...(last.source === undefined ? {} : { source: last.source + BigInt(target - last.from) }),
  };
}

/** The bytes a store is about to write; a string move writes a block up to the end of a page. */
function storeOf(
  run: BootRun,
  watched: { address: PhysAddr; size: number; at: bigint },
  symbols: SymbolTable | undefined,
): Store | undefined {
  const { engine } = run.machine;
  const insn = engine.currentInstruction();
  if (isFault(insn)) return undefined;
  const moves = MOVES.has(insn.mnemonic);
  const block = watched.size === 0;
  insn.free();
  const backwards = (engine.state.rflags & 0x400) !== 0;
  const page = watched.address - (watched.address % 4096);
  const from = block && backwards ? page : watched.address;
  const to = block ? (backwards ? watched.address + 8 : page + 4096) : watched.address + watched.size;
  const shift = backwards ? BigInt(from - watched.address) : 0n;
  return {
    at: watched.at,
    instruction: instructionAt(run, engine.state.rip + engine.mode.base, symbols),
    source: moves ? engine.state.reg(RSI) + shift : undefined,
    from: physAddr(from),
    to,
  };
}

