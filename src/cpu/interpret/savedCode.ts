// What an engine has made of memory, as a snapshot has it: decoded code, cached translations, and which pages hold code.
// They show in accessed bits and in when code that was changed is decoded again.

import type { CodeCache } from '../decode/codeCache.ts';
import * as at from '../state/layout.ts';
import type { GuestMemory } from '../state/memory.ts';
import type { SavedEngine } from './savedEngine.ts';
import type { CpuState } from '../state/state.ts';
import type { Translations } from '../mmu/translations.ts';

type SavedOfMemory = Pick<SavedEngine, 'code' | 'translations' | 'granules'>;

export function saveCode(
  code: CodeCache,
  translations: Translations,
  state: CpuState,
  memory: GuestMemory,
): SavedOfMemory {
  const contexts = code.contexts();
  return {
    code: code.save(),
    translations: translations.save(new Map(contexts.map(({ address }, i) => [address, i]))),
    granules: codePages(memory).map((page) => [page, state.u64(at.CODE_GRANULES + 8 * page)]),
  };
}

export function restoreCode(
  saved: SavedOfMemory,
  code: CodeCache,
  translations: Translations,
  state: CpuState,
  memory: GuestMemory,
): void {
  const contexts = code.rebuild(saved.code);
  for (const [page, map] of saved.granules) {
    const flags = at.PAGE_FLAGS + page;
    memory.bytes[flags] = (memory.bytes[flags] as number) | at.PAGE_CODE;
    state.setU64(at.CODE_GRANULES + 8 * page, map | state.u64(at.CODE_GRANULES + 8 * page));
  }
  translations.restore(
    saved.translations,
    contexts.map(({ address }) => address),
  );
}

/** Host pages that are marked to hold code. */
function codePages(memory: GuestMemory): number[] {
  const pages = [at.VOID_PAGE >>> 12];
  const end = (at.RAM_BASE + memory.touchedBytes) >>> 12;
  for (let page = at.RAM_BASE >>> 12; page < end; page++) pages.push(page);
  return pages.filter((page) => ((memory.bytes[at.PAGE_FLAGS + page] as number) & at.PAGE_CODE) !== 0);
}
