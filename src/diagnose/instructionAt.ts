// Describes the instruction at a linear address of a machine: bytes, text, place in the image, symbol.

import { Code } from 'iced-x86';
import type { BootRun } from '../run/run.ts';
import { attText, decodeOne } from '../code/disassembly.ts';
import { isFault } from '../cpu/state/cpu.ts';
import { type SymbolTable, symbolAt, symbolText } from '../image/symbols.ts';
import { locateInMemory, ownerOf } from '../record/location.ts';
import type { InstructionAt } from './types.ts';

/** What stands at `linear` now; undefined where nothing can be fetched. */
export function instructionAt(
  run: BootRun,
  linear: bigint,
  symbols: SymbolTable | undefined,
): InstructionAt | undefined {
  const { engine } = run.machine;
  const fetched = engine.fetchBytes(linear - engine.mode.base);
  if (isFault(fetched) || fetched.length === 0) return undefined;
  const insn = decodeOne(fetched, linear, engine.mode.bitness);
  const bytes = fetched.slice(0, insn.code === Code.INVALID ? Math.min(8, fetched.length) : insn.length);
  const text = insn.code === Code.INVALID ? '(bad)' : attText(insn);
  insn.free();
  const place = run.rules.stub && locateInMemory(run, run.rules.stub, linear);
  const physical = place ? undefined : engine.translate(linear, { fetch: true, implicit: true, peek: true });
  const owner = physical === undefined || isFault(physical) ? undefined : ownerOf(run, physical);
  const hit = place && symbols ? symbolAt(symbols, place.link) : undefined;
  return {
    runtimeAddress: linear,
    bytes,
    text,
    ...(place ? { linkAddress: place.link, fileOffset: place.fileOffset } : {}),
    ...(hit ? { symbol: symbolText(hit) } : {}),
    ...(owner ? { owner } : {}),
  };
}
