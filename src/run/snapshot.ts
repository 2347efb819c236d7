// A run on disk: all that is needed to go on with it in another process as if nothing had happened. Bytes, in this order:
// a magic text; version and layout (u32 each; a state of another layout means nothing to us); a tree of plain data
// (bits/plain.ts); the image; each touched chunk of RAM, its pages of zeros left out; the memories of chips; a CRC-32 of
// it all. Nothing of it is of one engine: a run goes on in whichever. Sizes are u32, little-endian. Whoever writes it to a file compresses it.
// The image is in it, the initrd is not: that is long in the guest's RAM. Disks are not in it either, only what the guest
// wrote to them.

import { putU16, putU32, viewOf } from '../bits/cursor.ts';
import { crc32Register } from '../bits/crc32.ts';
import { InputError } from '../bits/errors.ts';
import { Fields } from '../bits/fields.ts';
import { decodePlain, encodePlain, type Plain } from '../bits/plain.ts';
import type { VariantName } from '../cpu/binding/variants.ts';
import * as at from '../cpu/state/layout.ts';
import { layoutDigest } from '../cpu/state/stateLayout.ts';
import type { GuestMemory } from '../cpu/state/memory.ts';
import type { DiskImage } from '../devices/disk.ts';
import { isZero } from '../machine/hash.ts';
import { readInputBytes } from '../machine/input.ts';
import { extraDevices } from '../machine/pciFunctions.ts';
import { entries } from '../boot/boot.ts';
import type { Module } from '../boot/protocol.ts';
import { type Intervention, interventionText, MOST_INTERVENTIONS, parseIntervention } from './interventions/table.ts';
import { BootRun, type Goal, type RunConfig } from './run.ts';

const MAGIC = 'firstlight state';
const VERSION = 7;

/** Nothing comes near: a tree has a few MiB. */
const LARGEST_TREE = 128 * 2 ** 20;
const LARGEST_IMAGE = 2 ** 30;
const MOST_CHUNKS = 2 ** 30 / at.CHUNK_BYTES;
const MOST_PIECES = 2 ** 20;
const LARGEST_PIECE = 2 ** 20;
/** Of the memories of all chips together. */
const MOST_IN_CHIPS = 2 ** 30;
/** The kernel takes no longer argument for a program (MAX_ARG_STRLEN). */
const LONGEST_COMMAND = 2 ** 17;
const PAGES = at.CHUNK_BYTES / 4096;
/** u32 number of the chunk, u16 map of its pages that follow, a byte of flags for each page. */
const CHUNK_HEADER = 4 + 2 + PAGES;
/** u16 chip, u64 place, u32 length. */
const PIECE_HEADER = 2 + 8 + 4;

/** What of a configuration is in the tree as it stands. The compiler sees to it that no field is forgotten. */
type Kept = Exclude<
  keyof RunConfig,
  'image' | 'initrd' | 'modules' | 'disks' | 'until' | 'untilText' | 'maxInstructions'
>;
const KEPT: { readonly [K in Kept]-?: (saved: Fields) => RunConfig[K] } = {
  entry: (saved) => saved.choice('entry', entries()),
  loadAt: (saved) => saved.number('loadAt', 0, Number.MAX_SAFE_INTEGER),
  paging: (saved) => saved.choice('paging', [4, 5]),
  cpu: (saved) => saved.text('cpu', 100),
  memoryBytes: (saved) => saved.number('memoryBytes', 0, at.PHYS_LIMIT),
  cmdline: (saved) => saved.text('cmdline', 2 ** 16),
  origin: (saved) => saved.text('origin', 2 ** 16),
  cmdlineAdded: (saved) => saved.text('cmdlineAdded', 2 ** 16),
  command: (saved) => (saved.has('command') ? saved.text('command', LONGEST_COMMAND) : undefined),
  seed: (saved) => saved.number('seed', 0, Number.MAX_SAFE_INTEGER),
  testDevice: (saved) => (saved.has('testDevice') ? saved.flag('testDevice') : undefined),
  debugExit: (saved) => (saved.has('debugExit') ? saved.number('debugExit', 0, 0xfffc) : undefined),
  apic: (saved) => saved.flag('apic'),
  interventions: (saved) => saved.list('interventions', MOST_INTERVENTIONS).map(readIntervention),
  input: (saved) => readInputBytes(saved, 'input'),
  extras: (saved) => saved.list('extras', 16).flatMap((name) => extraDevices().filter((known) => known === name)),
};

function readIntervention(text: Plain): Intervention {
  if (typeof text !== 'string') throw new InputError('a change of its run cannot be right');
  return parseIntervention(text);
}

/** What is not plain data as it stands. */
const WRITTEN: { readonly [K in Kept]?: (config: RunConfig) => Plain } = {
  interventions: ({ interventions }) => interventions?.map(interventionText),
};

// Writing ---------------------------------------------------------------------------------------------------------------

/**
 * The snapshot of a run that can go on, in pieces. Pieces of RAM are views: each is to be used before the next is asked
 * for, and the run is not to go on meanwhile. Nothing of the run is changed.
 */
export function* snapshotOf(run: BootRun): Generator<Uint8Array> {
  let crc: number | undefined;
  for (const piece of body(run)) {
    crc = crc32Register(piece, crc);
    yield piece;
  }
  yield u32(~(crc ?? 0) >>> 0);
}

function* body(run: BootRun): Generator<Uint8Array> {
  const tree = encodePlain(treeOf(run));
  const { image } = run.config;
  yield new TextEncoder().encode(MAGIC);
  yield u32(VERSION);
  yield u32(layoutDigest());
  yield u32(tree.length);
  yield tree;
  yield u32(image.length);
  yield image;
  yield* chunksOf(run.machine.memory);
  yield* piecesOf(run);
}

const u32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  putU32(bytes, 0, value);
  return bytes;
};

function treeOf(run: BootRun): Plain {
  const { config } = run;
  const kept = Object.fromEntries(
    (Object.keys(KEPT) as Kept[]).map((name): [string, Plain] => [
      name,
      WRITTEN[name] ? WRITTEN[name](config) : (config[name] as Plain),
    ]),
  );
  return {
    config: kept,
    features: featuresOf(run),
    initrd: config.initrd?.length,
    modules: (config.modules ?? []).map(({ bytes, text, added }) => ({ size: bytes.length, text, added })),
    disks: (config.disks ?? []).map(({ size }) => size),
    stateHash: run.machine.stateHash(),
    run: run.save(),
  };
}

const featuresOf = ({ machine }: BootRun): string => [...machine.config.model.features].sort().join();

function* chunksOf(memory: GuestMemory): Generator<Uint8Array> {
  yield u32(memory.touchedChunks.length);
  for (const chunk of memory.touchedChunks) {
    const host = memory.hostOf(chunk * at.CHUNK_BYTES) as number;
    const pages = Array.from({ length: PAGES }, (_, i) =>
      memory.bytes.subarray(host + i * 4096, host + (i + 1) * 4096),
    );
    const filled = pages.map((page) => !isZero(page));
    const header = new Uint8Array(CHUNK_HEADER);
    putU32(header, 0, chunk);
    putU16(
      header,
      4,
      filled.reduce((map, is, i) => map | (is ? 1 << i : 0), 0),
    );
    const flags = memory.bytes.slice(at.PAGE_FLAGS + (host >>> 12), at.PAGE_FLAGS + (host >>> 12) + PAGES);
    // Whether somebody watches pages, or keeps versions of them, is nothing of the run.
    header.set(
      flags.map((each) => each & ~(at.PAGE_CHANGED | at.PAGE_WATCHES)),
      6,
    );
    yield header;
    yield* pages.filter((_, i) => filled[i]);
  }
}

function* piecesOf({ machine }: BootRun): Generator<Uint8Array> {
  const pieces = machine.chips.map(({ bulk }) => [...(bulk?.pieces() ?? [])]);
  yield u32(pieces.reduce((sum, of) => sum + of.length, 0));
  for (const [chip, of] of pieces.entries()) {
    for (const { at: place, bytes } of of) {
      const header = new Uint8Array(PIECE_HEADER);
      putU16(header, 0, chip);
      viewOf(header).setBigUint64(2, BigInt(place), true);
      putU32(header, 10, bytes.length);
      yield header;
      yield bytes;
    }
  }
}

// Reading ---------------------------------------------------------------------------------------------------------------

/** What the user gives to go on with. */
export type Onward = {
  readonly until: Goal;
  readonly untilText?: string | undefined;
  readonly maxInstructions: bigint;
  /** The disks of the run, as they were. */
  readonly disks?: readonly DiskImage[] | undefined;
};

/** Takes a snapshot piece by piece, in whatever pieces it comes. Throws InputError where it cannot be used. */
export class SnapshotReader {
  readonly #reading: Reading;
  #wanted: number;
  #parts: Uint8Array[] = [];
  #held = 0;
  #run: BootRun | undefined;

  /** @param variant engine to go on in */
  constructor(onward: Onward, variant?: VariantName) {
    this.#reading = reading(onward, variant);
    this.#wanted = this.#reading.next(new Uint8Array()).value as number;
  }

  push(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#run) throw new InputError('there is more behind its end');
      const part = rest.subarray(0, this.#wanted - this.#held);
      this.#parts.push(part);
      this.#held += part.length;
      rest = rest.subarray(part.length);
      while (this.#held === this.#wanted && !this.#run) this.#step();
    }
    // What is kept must not change under us.
    this.#parts = this.#parts.map((part) => (part.buffer === bytes.buffer ? part.slice() : part));
  }

  #step(): void {
    const whole = joined(this.#parts, this.#held);
    this.#parts = [];
    this.#held = 0;
    const { value, done } = this.#reading.next(whole);
    if (done) this.#run = value;
    else this.#wanted = value;
  }

  /** To be called behind the last piece. */
  finish(): BootRun {
    if (this.#run) return this.#run;
    throw new InputError('it ends too early');
  }
}

function joined(parts: readonly Uint8Array[], size: number): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first) return first;
  const whole = new Uint8Array(size);
  let done = 0;
  for (const part of parts) {
    whole.set(part, done);
    done += part.length;
  }
  return whole;
}

/** Asks for so many bytes and gets them; ends with the run. */
type Reading = Generator<number, BootRun, Uint8Array>;
type Part<T> = Generator<number, T, Uint8Array>;

function* reading(onward: Onward, variant: VariantName | undefined): Reading {
  const source = new Checked();
  yield* heading(source);
  const tree = new Fields(decodePlain(yield* source.take(yield* source.size(LARGEST_TREE))), 'the snapshot');
  const image = (yield* source.take(yield* source.size(LARGEST_IMAGE))).slice();
  const config = configOf(tree, image, onward);
  const run = new BootRun(config, undefined, false, variant);
  if (tree.text('features', 2 ** 16) !== featuresOf(run)) {
    throw new InputError(`its CPU model '${config.cpu}' is not what this version of Firstlight calls so; boot again`);
  }
  yield* readChunks(source, run.machine.memory);
  yield* readPieces(source, run);
  const crc = source.crc;
  if (viewOf(yield 4).getUint32(0, true) !== crc) throw new InputError('its checksum is wrong: it is damaged');
  run.restore(tree.object('run'));
  if (tree.text('stateHash', 64) !== run.machine.stateHash()) {
    throw new InputError('what it holds is not the state it was saved in');
  }
  return run;
}

/** What is taken counts for the checksum. */
class Checked {
  #register: number | undefined;

  get crc(): number {
    return ~(this.#register ?? 0) >>> 0;
  }

  *take(size: number): Part<Uint8Array> {
    if (size === 0) return new Uint8Array();
    const bytes = yield size;
    this.#register = crc32Register(bytes, this.#register);
    return bytes;
  }

  *size(most: number): Part<number> {
    const size = viewOf(yield* this.take(4)).getUint32(0, true);
    if (size > most) throw new InputError('a size in it cannot be right');
    return size;
  }
}

function* heading(source: Checked): Part<void> {
  if (new TextDecoder().decode(yield* source.take(MAGIC.length)) !== MAGIC) throw new InputError('it is no snapshot');
  const version = viewOf(yield* source.take(4)).getUint32(0, true);
  const layout = viewOf(yield* source.take(4)).getUint32(0, true);
  if (version !== VERSION || layout !== layoutDigest()) {
    throw new InputError('it was saved by another version of Firstlight; boot again');
  }
}

function configOf(tree: Fields, image: Uint8Array, { disks = [], ...goal }: Onward): RunConfig {
  const saved = tree.object('config');
  const kept = Object.entries(KEPT).flatMap(([name, read]) => (saved.has(name) ? [[name, read(saved)] as const] : []));
  const sizes = tree.numbers('disks', 64, 0, Number.MAX_SAFE_INTEGER);
  if (sizes.join() !== disks.map(({ size }) => size).join()) throw new InputError(disksText(sizes));
  const config = {
    ...(Object.fromEntries(kept) as Pick<RunConfig, Kept>),
    ...{ image, ...goal, disks },
    ...filesOf(tree),
  };
  for (const name of ['cpu', 'memoryBytes', 'cmdline', 'seed'] as const) {
    if (!saved.has(name)) throw saved.wrong(name);
  }
  return config;
}

/** Stand-ins for what was loaded: only the sizes matter any more. */
function filesOf(tree: Fields): Pick<RunConfig, 'initrd' | 'modules'> {
  const modules = tree.objects('modules', 64);
  const sizes = modules.map((module) => module.number('size', 1, LARGEST_IMAGE));
  const initrd = tree.has('initrd') ? tree.number('initrd', 1, LARGEST_IMAGE) : undefined;
  const zeros = new Uint8Array(Math.max(0, initrd ?? 0, ...sizes));
  return {
    initrd: initrd === undefined ? undefined : zeros.subarray(0, initrd),
    modules: modules.map(
      (module, i): Module => ({
        bytes: zeros.subarray(0, sizes[i]),
        text: module.text('text', 4096),
        added: module.has('added') ? module.text('added', 4096) : undefined,
      }),
    ),
  };
}

const disksText = (sizes: readonly number[]): string =>
  sizes.length === 0
    ? 'its machine has no disk'
    : `its machine has ${sizes.length === 1 ? 'a disk' : `${sizes.length} disks`} of ${sizes.join(', ')} bytes; give the same`;

function* readChunks(source: Checked, memory: GuestMemory): Part<void> {
  memory.forgetTouched();
  const count = yield* source.size(MOST_CHUNKS);
  for (let i = 0; i < count; i++) {
    const header = (yield* source.take(CHUNK_HEADER)).slice();
    const host = memory.takeChunk(viewOf(header).getUint32(0, true));
    const filled = viewOf(header).getUint16(4, true);
    for (let page = 0; page < PAGES; page++) {
      if (filled & (1 << page)) memory.bytes.set(yield* source.take(4096), host + page * 4096);
      // Which pages hold code is said elsewhere.
      memory.bytes[at.PAGE_FLAGS + (host >>> 12) + page] =
        (header[6 + page] as number) & ~(at.PAGE_CODE | at.PAGE_WATCHES);
    }
  }
}

type Piece = { readonly at: number; readonly bytes: Uint8Array };

function* readPieces(source: Checked, { machine }: BootRun): Part<void> {
  const pieces: Piece[][] = machine.chips.map(() => []);
  const count = yield* source.size(MOST_PIECES);
  let held = 0;
  for (let i = 0; i < count; i++) {
    const header = viewOf((yield* source.take(PIECE_HEADER)).slice());
    const [chip, place, size] = [header.getUint16(0, true), header.getBigUint64(2, true), header.getUint32(10, true)];
    held += size;
    if (size > LARGEST_PIECE || held > MOST_IN_CHIPS || !machine.chips[chip]?.bulk)
      throw new InputError('its machine has no such memory');
    pieces[chip]?.push({ at: Number(place), bytes: (yield* source.take(size)).slice() });
  }
  for (const [chip, of] of pieces.entries()) {
    try {
      machine.chips[chip]?.bulk?.restore(of);
    } catch {
      throw new InputError('the memory of a chip in it cannot be right');
    }
  }
}
