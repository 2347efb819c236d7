// The engine's state as a snapshot holds it, and how it is read back from one that may come from anybody: whatever is in
// it, what it is restored to stays within the guest's own memory. Read codeContext.ts, codeCache.ts and translations.ts
// first. Nothing in it is of one engine: what is specified only (the lines of code, the translation caches) is in it, what an
// engine makes of that (records, host addresses) it makes anew.

import { InputError } from '../../bits/errors.ts';
import type { Fields } from '../../bits/fields.ts';
import type { Plain } from '../../bits/plain.ts';
import { viewOf } from '../../bits/cursor.ts';
import type { CodeMode, SavedCode } from '../state/codeContext.ts';
import * as at from '../state/layout.ts';
import type { GuestMemory } from '../state/memory.ts';
import { isFetchEntry, type SavedTranslation, type SavedTranslations } from '../mmu/translations.ts';

export type SavedEngine = {
  readonly retired: bigint;
  readonly charged: bigint;
  /** The state block, REGS to STATE_END. */
  readonly state: Uint8Array;
  readonly code: SavedCode;
  readonly translations: SavedTranslations;
};

/** Longer than any run. */
const MOST_TIME = 1n << 62n;
const MOST_MODES = 2 ** 12;
const MOST_TOLD = 2 ** 16;
const VOID_HOST_PAGE = at.VOID_PAGE >>> 12;
/** Physical pages that code may lie in where nothing answers. */
const MOST_PHYSICAL = 2n ** 40n;
const ENTRY_BYTES = 20;
const LINES_BYTES = 12;
const TOLD_BYTES = 16;
const MOST_ENTRIES = ((at.MMU_CONTEXTS + 1) * at.TLB_SET_BYTES) / at.TLB_ENTRY_BYTES;
/** Of the context that checks alignment none is kept but for fetches. */
const MOST_DATA_ENTRIES = (at.MMU_CONTEXTS * at.TLB_SET_BYTES) / at.TLB_ENTRY_BYTES;
const ALL_ONES = (1n << 64n) - 1n;

export function plainEngine({ retired, charged, state, code, translations }: SavedEngine): Plain {
  return {
    retired,
    charged,
    state,
    code: plainCode(code),
    translations: packed(translations.entries, ENTRY_BYTES, (view, offset, { entry, tag, physicalPage }) => {
      view.setUint32(offset, entry, true);
      view.setBigInt64(offset + 4, tag, true);
      view.setBigUint64(offset + 12, BigInt(physicalPage), true);
    }),
    regions: translations.regions,
  };
}

/** There are thousands of pages and few modes. */
function plainCode({ lines, pages, told }: SavedCode): Plain {
  const modes = [...new Map(told.map(({ mode }) => [modeKey(mode), mode])).values()];
  const numbers = new Map(modes.map((mode, i) => [modeKey(mode), i]));
  return {
    lines,
    pages: packed(pages, LINES_BYTES, (view, offset, [hostPage, map]) => {
      view.setUint32(offset, hostPage, true);
      view.setBigUint64(offset + 4, map, true);
    }),
    modes: modes.map((mode) => ({ ...mode })),
    told: packed(told, TOLD_BYTES, (view, offset, { hostPage, ip, mode }) => {
      view.setUint32(offset, hostPage, true);
      view.setUint32(offset + 4, numbers.get(modeKey(mode)) as number, true);
      view.setBigInt64(offset + 8, ip, true);
    }),
  };
}

const modeKey = (mode: CodeMode): string => Object.values(mode).join();

function packed<T>(items: readonly T[], size: number, put: (view: DataView, offset: number, item: T) => void) {
  const bytes = new Uint8Array(items.length * size);
  const view = viewOf(bytes);
  items.forEach((item, i) => {
    put(view, i * size, item);
  });
  return bytes;
}

/** @param mode any mode: others have the same fields. Throws InputError. */
export function readEngine(fields: Fields, memory: GuestMemory, mode: CodeMode): SavedEngine {
  const state = fields.bytes('state', at.STATE_END - at.REGS);
  if (state.length !== at.STATE_END - at.REGS) throw fields.wrong('state');
  return {
    retired: fields.bigint('retired', 0n, BigInt(Number.MAX_SAFE_INTEGER)),
    charged: fields.bigint('charged', 0n, MOST_TIME),
    state,
    code: readCode(fields.object('code'), memory, mode),
    translations: {
      entries: unpacked(fields.bytes('translations', MOST_ENTRIES * ENTRY_BYTES, ENTRY_BYTES), ENTRY_BYTES).map(
        (view) => readTranslation(view, memory),
      ),
      regions: fields.bytes('regions', 2 * at.REGION_COUNT),
    },
  };
}

function unpacked(bytes: Uint8Array, size: number): DataView[] {
  return Array.from({ length: bytes.length / size }, (_, i) => viewOf(bytes.subarray(i * size, (i + 1) * size)));
}

const isRamPage = (page: number, memory: GuestMemory): boolean =>
  page * 4096 >= at.RAM_BASE && page * 4096 < at.RAM_BASE + memory.touchedBytes;

/** A page of the guest's RAM on the host, or the one that stands for addresses where nothing answers. */
function checkedPage(page: number, memory: GuestMemory): number {
  if (page === VOID_HOST_PAGE || isRamPage(page, memory)) return page;
  throw new InputError('it names memory that its machine does not have');
}

function readTranslation(view: DataView, memory: GuestMemory): SavedTranslation {
  const entry = view.getUint32(0, true);
  const page = view.getBigUint64(12, true);
  const fits = isFetchEntry(entry)
    ? entry < MOST_ENTRIES && page < MOST_PHYSICAL
    : entry < MOST_DATA_ENTRIES && page < MOST_PHYSICAL && memory.touchedHostOf(Number(page) * 4096) !== undefined;
  if (!fits) throw new InputError('its translation caches are damaged');
  return { entry, tag: view.getBigInt64(4, true), physicalPage: Number(page) };
}

function readCode(fields: Fields, memory: GuestMemory, mode: CodeMode): SavedCode {
  const modes = fields.objects('modes', MOST_MODES).map((each) => readMode(each, mode));
  const pages = unpacked(fields.bytes('pages', 2 ** 20 * LINES_BYTES, LINES_BYTES), LINES_BYTES);
  const told = unpacked(fields.bytes('told', MOST_TOLD * TOLD_BYTES, TOLD_BYTES), TOLD_BYTES);
  return {
    lines: fields.number('lines', 0, Number.MAX_SAFE_INTEGER),
    pages: pages.map((view) => [checkedPage(view.getUint32(0, true), memory), view.getBigUint64(4, true)]),
    told: told.map((view) => ({
      hostPage: checkedPage(view.getUint32(0, true), memory),
      mode: readNumbered(modes, view.getUint32(4, true)),
      ip: view.getBigInt64(8, true),
    })),
  };
}

function readNumbered(modes: readonly CodeMode[], number: number): CodeMode {
  const mode = modes[number];
  if (mode === undefined) throw new InputError('what it says of its code cannot be right');
  return mode;
}

/** Each field has the kind that it has in `like`. */
function readMode(fields: Fields, like: CodeMode): CodeMode {
  const flags = Object.entries(like).filter(([, value]) => typeof value === 'boolean');
  return {
    ...like,
    ...Object.fromEntries(flags.map(([name]) => [name, fields.flag(name)])),
    bitness: fields.choice('bitness', [16, 32, 64]),
    base: fields.bigint('base', 0n, ALL_ONES),
    limit: fields.bigint('limit', 0n, ALL_ONES),
  };
}
