// A memory for tests: remembers every write, and reads zeros where there was none.
import type { WritableMemory } from '../../src/boot/protocol.ts';

export interface TestMemory extends WritableMemory {
  readonly writes: readonly { readonly start: number; readonly size: number }[];
  read(address: number, size: number): Uint8Array;
  u16(address: number): number;
  u32(address: number): number;
  u64(address: number): bigint;
  text(address: number): string;
}

export function testMemory(): TestMemory {
  const writes: { start: number; size: number; bytes: Uint8Array }[] = [];
  const read = (address: number, size: number): Uint8Array => {
    const out = new Uint8Array(size);
    for (const { start, bytes } of writes) {
      const from = Math.max(start, address);
      const to = Math.min(start + bytes.length, address + size);
      if (from < to) out.set(bytes.subarray(from - start, to - start), from - address);
    }
    return out;
  };
  const view = (address: number, size: number): DataView => new DataView(read(address, size).buffer);
  return {
    writes,
    write: (address, bytes) => void writes.push({ start: address, size: bytes.length, bytes: bytes.slice() }),
    read,
    u16: (address) => view(address, 2).getUint16(0, true),
    u32: (address) => view(address, 4).getUint32(0, true),
    u64: (address) => view(address, 8).getBigUint64(0, true),
    text: (address) => {
      const bytes = read(address, 65536);
      return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
    },
  };
}

/** What a 1:1 page walk must find, written from the manual's figures: a table of 512 entries for each 9 bits. */
export function walk(memory: TestMemory, cr3: bigint, levels: 4 | 5, address: bigint): bigint | undefined {
  let table = cr3;
  for (let level = levels as number; level >= 1; level--) {
    const shift = BigInt(12 + 9 * (level - 1));
    const entry = memory.u64(Number(table + ((address >> shift) & 511n) * 8n));
    if ((entry & 1n) === 0n) return undefined;
    const frame = entry & 0x000f_ffff_ffff_f000n;
    const isPage = level === 1 || (level <= 3 && (entry & 0x80n) !== 0n);
    if (isPage) return frame + (address & ((1n << shift) - 1n));
    table = frame;
  }
  return undefined;
}
