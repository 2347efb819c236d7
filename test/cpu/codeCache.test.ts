// Decoded code when the room for it is used up.
import { expect, it } from 'vitest';
import type { PhysAddr } from '../../src/bits/address.ts';
import { CodeCache } from '../../src/cpu/decode/codeCache.ts';
import type { CodeMode, Context } from '../../src/cpu/state/codeContext.ts';
import { buildEngine } from '../../src/cpu/binding/module.ts';
import { allHandlers, hotKeys } from '../../src/cpu/binding/handlers.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { GuestMemory } from '../../src/cpu/state/memory.ts';
import { cpuModel, DEFAULT_MODEL } from '../../src/x86/models.ts';

const MODE: CodeMode = { bitness: 64, base: 0n, limit: (1n << 64n) - 1n, sse: true, vex: true, avx: true };
const PAGE = 0x1000n;

it('everything is dropped before an instruction over two pages is written, not while', () => {
  const memory = new GuestMemory([{ start: 0, end: 0x10000 }]);
  let flushed = false;
  const nobody = { opened: () => undefined, isWanted: () => false, codePage: () => undefined };
  const wires = {
    ...nobody,
    flushed: () => {
      flushed = true;
    },
  };
  const { numbers } = buildEngine(allHandlers(), hotKeys);
  const cache = new CodeCache(memory, numbers, cpuModel(DEFAULT_MODEL).features, wires);
  // ADD EAX, imm32 in the last byte of page 1.
  memory.write(0x1fff as PhysAddr, Uint8Array.of(0x05, 1, 2, 3, 4));
  const pageOf = (ip: bigint): { hostPage: number; physicalPage: number } => ({
    hostPage: (memory.hostOf(Number(ip & 0xffffn)) as number) >>> 12,
    physicalPage: Number((ip & 0xffffn) >> 12n),
  });
  const contextAt = (ip: bigint): Context => cache.context(ip, MODE, pageOf(ip));
  const first = contextAt(PAGE);
  // As many more contexts as there is room for.
  const room = at.ARENA_END - at.ARENA;
  for (let i = 1; i * at.CTX_BYTES < room - 50_000; i++) contextAt(PAGE + BigInt(i) * 0x10000n);
  expect(flushed).toBe(false);
  expect(cache.record(first, 0x1fffn, pageOf)).toBe(0);
  expect(flushed).toBe(true);
  const following = contextAt(2n * PAGE);
  expect(memory.view.getUint32(following.address + at.CTX_SLOTS + 4 * 4095, true)).toBe(0);
});
