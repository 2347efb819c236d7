// The engine's state as a snapshot holds it, and how it is read back from one that may come from anybody: whatever is in
// it, what it is restored to stays within the guest's own memory. Read codeContext.ts, codeCache.ts and translations.ts
// first.

import { InputError } from '../../bits/errors.ts';
import { Fields } from '../../bits/fields.ts';
import type { Plain } from '../../bits/plain.ts';
import { viewOf } from '../../bits/cursor.ts';
import type { CodeMode, CodePage, SavedCode, SavedContext } from '../state/codeContext.ts';
import * as at from '../state/layout.ts';
import * as rec from '../binding/recordLayout.ts';
import type { GuestMemory } from '../state/memory.ts';
import type { SavedTranslation, SavedTranslations } from '../mmu/translations.ts';

export type SavedEngine = {
  readonly retired: bigint;
  readonly charged: bigint;
  /** The state block, REGS to STATE_END. */
  readonly state: Uint8Array;
  readonly code: SavedCode;
  readonly translations: SavedTranslations;
  /** Of each host page that holds code, or may: the map of its granules. */
  readonly granules: readonly (readonly [hostPage: number, map: bigint])[];
};

/** Longer than any run. */
const MOST_TIME = 1n << 62n;
const MOST_CONTEXTS = Math.floor((at.ARENA_END - at.ARENA) / at.CTX_BYTES);
const VOID_HOST_PAGE = at.VOID_PAGE >>> 12;
/** Physical pages that a context can name; code where nothing answers may lie anywhere. */
const MOST_PHYSICAL = 2 ** 40;
const ENTRY_BYTES = 16;
const GRANULE_BYTES = 12;
const SLOT_BYTES = 512;
const MOST_ENTRIES = (at.MMU_CONTEXTS * at.TLB_SET_BYTES) / at.TLB_ENTRY_BYTES;
const ALL_ONES = (1n << 64n) - 1n;

export function plainEngine({ retired, charged, state, code, translations, granules }: SavedEngine): Plain {
  return {
    retired,
    charged,
    state,
    code: plainCode(code),
    translations: packed(translations.entries, ENTRY_BYTES, (view, offset, { entry, tag, value }) => {
      view.setUint32(offset, entry, true);
      view.setBigInt64(offset + 4, tag, true);
      view.setUint32(offset + 12, value, true);
    }),
    regions: translations.regions,
    granules: packed(granules, GRANULE_BYTES, (view, offset, [hostPage, map]) => {
      view.setUint32(offset, hostPage, true);
      view.setBigUint64(offset + 4, map, true);
    }),
  };
}

/** Contexts of the same mode share it: there are thousands of contexts and few modes. */
function plainCode({ contexts, crossingFrom, arena, decoded }: SavedCode): Plain {
  const modes = [...new Map(contexts.map(({ mode }) => [modeKey(mode), mode])).values()];
  const numbers = new Map(modes.map((mode, i) => [modeKey(mode), i]));
  return {
    arena: arena / rec.RECORD_BYTES,
    decoded,
    modes: modes.map((mode) => ({ ...mode })),
    contexts: contexts.map((context) => ({
      ...context,
      mode: numbers.get(modeKey(context.mode)),
      crossings: context.crossings.map(([offset, page]) => ({ offset, ...page })),
    })),
    crossingFrom: crossingFrom.map(([hostPage, from]) => ({ hostPage, from })),
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
  const code = readCode(fields.object('code'), memory, mode);
  return {
    retired: fields.bigint('retired', 0n, BigInt(Number.MAX_SAFE_INTEGER)),
    charged: fields.bigint('charged', 0n, MOST_TIME),
    state,
    code,
    translations: {
      entries: unpacked(fields.bytes('translations', MOST_ENTRIES * ENTRY_BYTES, ENTRY_BYTES), ENTRY_BYTES).map(
        (view) => readTranslation(view, memory, code.contexts.length),
      ),
      regions: fields.bytes('regions', 2 * at.REGION_COUNT),
    },
    granules: unpacked(fields.bytes('granules', 2 ** 23, GRANULE_BYTES), GRANULE_BYTES).map((view) => [
      checkedPage(view.getUint32(0, true), memory),
      view.getBigUint64(4, true),
    ]),
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

function readTranslation(view: DataView, memory: GuestMemory, contexts: number): SavedTranslation {
  const entry = view.getUint32(0, true);
  const value = view.getUint32(12, true);
  const isFetch = Math.floor(entry / at.TLB_ENTRIES) % 3 === 2;
  const fits = isFetch ? value < contexts : isRamPage(value, memory);
  if (entry >= MOST_ENTRIES || !fits) throw new InputError('its translation caches are damaged');
  return { entry, tag: view.getBigInt64(4, true), value };
}

function readCode(fields: Fields, memory: GuestMemory, mode: CodeMode): SavedCode {
  const modes = fields.objects('modes', MOST_CONTEXTS).map((each) => readMode(each, mode));
  const contexts = fields.objects('contexts', MOST_CONTEXTS).map((each) => readContext(each, modes, memory));
  return {
    contexts,
    crossingFrom: fields
      .objects('crossingFrom', 2 ** 18)
      .map((each) => [
        checkedPage(each.number('hostPage', 0, 2 ** 20), memory),
        each.numbers('from', MOST_CONTEXTS, 0, contexts.length - 1),
      ]),
    arena: rec.RECORD_BYTES * fields.number('arena', 0, (at.ARENA_END - at.ARENA) / rec.RECORD_BYTES),
    decoded: fields.number('decoded', 0, Number.MAX_SAFE_INTEGER),
  };
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

function readContext(fields: Fields, modes: readonly CodeMode[], memory: GuestMemory): SavedContext {
  const mode = modes[fields.number('mode', 0, modes.length - 1)] as CodeMode;
  const ip = fields.bigint('ip', -4096n, ALL_ONES);
  const decoded = fields.bytes('decoded', SLOT_BYTES);
  if (((ip + mode.base) & 0xfffn) !== 0n || decoded.length !== SLOT_BYTES) throw fields.wrong('ip');
  return {
    ...readPage(fields, memory),
    ip,
    mode,
    decoded,
    crossings: fields
      .objects('crossings', 16)
      .map((each) => [each.number('offset', 4096 - 15, 4095), readPage(each, memory)]),
  };
}

const readPage = (fields: Fields, memory: GuestMemory): CodePage => ({
  hostPage: checkedPage(fields.number('hostPage', 0, 2 ** 20), memory),
  physicalPage: fields.number('physicalPage', 0, MOST_PHYSICAL),
});
