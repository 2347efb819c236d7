// Facts about a death: the first exception or the place of the stop, the bytes there, and who wrote them.

import { PAGE_SIZE, type PhysAddr } from '../bits/address.ts';
import { STRING_MOVES } from '../code/facts.ts';
import { BootRun, type Outcome } from '../run/run.ts';
import { isFault } from '../cpu/state/cpu.ts';
import type { Watched } from '../cpu/interpret/observing.ts';
import * as at from '../cpu/state/layout.ts';
import { FLAGS } from '../cpu/state/state.ts';
import type { SymbolTable } from '../image/symbols.ts';
import { locateInMemory } from '../record/location.ts';
import { GPR } from '../x86/registers.ts';
import { driveUntil } from './drive.ts';
import { complaints } from './complaints.ts';
import { explain } from './explain.ts';
import { registersOf } from './registers.ts';
import { instructionAt } from './instructionAt.ts';
import type { Evidence, InstructionAt, Jump, Tick, Writer } from './types.ts';

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
  const [first] = outcome.kind === 'triple-fault' ? outcome.chain : [];
  const reason = first && explain(run.machine.engine, first);
  const registers = registersOf(run.machine.engine.state);
  const evidence = { outcome, at: where, registers, ...(reason ? { reason } : {}), ...wordsOf(run) };
  if (!where || where.fileOffset !== undefined || outcome.instructions > WRITER_LIMIT) return evidence;
  const physical = run.machine.engine.translate(place, { implicit: true, peek: true });
  if (isFault(physical)) return evidence;
  const { writer, jump } = yield* comingThere(run, physical, outcome, symbols);
  return { ...evidence, ...(writer ? { writer } : {}), ...(jump ? { jump } : {}) };
}

function wordsOf(run: BootRun): Pick<Evidence, 'silent' | 'lastWords' | 'complaints' | 'lastWordsOn'> {
  const { console, screen } = run.machine;
  const rows = screen.changes > 0 ? screen.rows() : [];
  const lastWordsOn = console.length === 0 && rows.length > 0 ? 'screen' : 'console';
  const text = lastWordsOn === 'screen' ? rows.join('\n') : console.text;
  return { silent: text.length === 0, lastWords: lastLine(text), complaints: complaints(text), lastWordsOn };
}

const { RSI, RDI } = GPR;
const LARGEST_ELEMENT = 8;

/** Physical addresses, and where a string move takes the first byte from. */
type Written = { readonly from: number; readonly to: number; readonly source: bigint | undefined };
type Store = Written & { readonly at: bigint; readonly instruction: InstructionAt | undefined };

/** Instructions before the death among which a jump out of the image is looked for. */
const LAST_STEPS = 4096n;

/**
 * The same run again, watching the page: the last store that covered the byte, and, one instruction at a time towards the
 * end, the last jump from code of the image to what is none of it.
 */
function* comingThere(
  died: BootRun,
  target: PhysAddr,
  outcome: Outcome,
  symbols: SymbolTable | undefined,
): Generator<Tick, { readonly writer?: Writer; readonly jump?: Jump }> {
  const again = new BootRun(died.config);
  const { memory } = again.machine;
  let last: Store | undefined;
  if (memory.hostOf(target) !== undefined) {
    const observation = again.observe({
      access: (watched) => {
        const store = storeOf(again, watched, symbols);
        if (store && store.from <= target && target < store.to) last = store;
      },
    });
    observation.watch(target, 1, at.PAGE_WATCH_WRITE);
  }
  const before = outcome.instructions > LAST_STEPS ? outcome.instructions - LAST_STEPS : 0n;
  yield* driveUntil(again, before, 'looking for who wrote the bytes');
  const jump = lastJump(again, outcome.instructions, symbols);
  const writer = last?.instruction && {
    instruction: last.instruction,
    instructions: last.at,
    ...(last.source === undefined ? {} : { source: last.source + BigInt(target - last.from) }),
  };
  return { ...(writer ? { writer } : {}), ...(jump ? { jump } : {}) };
}

/** Steps to the end. Undefined where the last code before the end is not known to be the image's. */
function lastJump(run: BootRun, end: bigint, symbols: SymbolTable | undefined): Jump | undefined {
  const { engine } = run.machine;
  const { stub } = run.rules;
  if (stub === undefined) return undefined;
  let found: Jump | undefined;
  let inside = true;
  const here = (): bigint => engine.state.rip + engine.mode.base;
  while (engine.retired < end) {
    const from = here();
    const instruction = inside ? instructionAt(run, from, symbols) : undefined;
    const { retired } = engine;
    if (run.advance(1n) || engine.retired === retired) break;
    const wasInside = inside && instruction?.fileOffset !== undefined;
    inside = locateInMemory(run, stub, here()) !== undefined;
    if (inside) found = undefined;
    else if (wasInside && instruction) found = { instruction, instructions: retired, target: here() };
  }
  return found;
}

/** The bytes the instruction is about to write; a string move writes a block up to the end of a page. */
function storeOf(run: BootRun, watched: Watched, symbols: SymbolTable | undefined): Store | undefined {
  const { engine } = run.machine;
  const insn = engine.currentInstruction();
  if (isFault(insn)) return undefined;
  const moves = STRING_MOVES.has(insn.mnemonic);
  insn.free();
  const range = moves ? blockWritten(run) : watched.write ? plainStore(watched) : undefined;
  if (!range) return undefined;
  const instruction = instructionAt(run, engine.state.rip + engine.mode.base, symbols);
  return { at: watched.at, instruction, ...range };
}

const plainStore = ({ address, size }: Watched): Written => ({ from: address, to: address + size, source: undefined });

/** What a string move writes from where it stands to its page's end; which of its accesses was watched does not matter. */
function blockWritten(run: BootRun): Written | undefined {
  const { engine } = run.machine;
  const to = engine.translate(engine.state.reg(RDI), { implicit: true, peek: true });
  if (isFault(to)) return undefined;
  const backwards = (engine.state.rflags & FLAGS.DF) !== 0;
  const page = to - (to % PAGE_SIZE);
  const from = backwards ? page : to;
  const end = backwards ? to + LARGEST_ELEMENT : page + PAGE_SIZE;
  return { from, to: end, source: engine.state.reg(RSI) - BigInt(to - from) };
}
