// Describes the instruction at a linear address of a machine: bytes, text, place in the image, symbol.

import { Code } from 'iced-x86';
import type { BootRun } from '../run/run.ts';
import { attText, decodeOne } from '../code/disassembly.ts';
import { isFault } from '../cpu/state/cpu.ts';
import type { PhysAddr } from '../bits/address.ts';
import type { KernelImage } from '../image/image.ts';
import { ownSymbols, type SymbolTable, symbolAt, symbolText } from '../image/symbols.ts';
import { locateInMemory, locateInSegments, ownerOf, type Place } from '../record/location.ts';
import type { InstructionAt } from './types.ts';

const placeOf = (run: BootRun, linear: bigint, physical: PhysAddr): Place | undefined =>
  run.rules.stub ? locateInMemory(run, run.rules.stub, linear) : locateInSegments(run, physical);

const known = new WeakMap<KernelImage, { readonly names: SymbolTable | undefined }>();

/** The symbols that an ELF image carries; looked for once. */
function namesIn(image: KernelImage): SymbolTable | undefined {
  if (image.kind !== 'elf' && image.kind !== 'elf32') return undefined;
  const found = known.get(image) ?? { names: ownSymbols(image.bytes) };
  known.set(image, found);
  return found.names;
}

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
  const physical = engine.translate(linear, { fetch: true, implicit: true, peek: true });
  const place = isFault(physical) ? undefined : placeOf(run, linear, physical);
  const owner = place || isFault(physical) ? undefined : ownerOf(run, physical);
  const names = symbols ?? namesIn(run.image);
  const hit = place && names ? symbolAt(names, place.link) : undefined;
  return {
    runtimeAddress: linear,
    bytes,
    text,
    ...(place ? { linkAddress: place.link, fileOffset: place.fileOffset } : {}),
    ...(hit ? { symbol: symbolText(hit) } : {}),
    ...(owner ? { owner } : {}),
  };
}
