// The stub moves: it copies itself out of the way before it unpacks the kernel. Where a copy of it lies is found by
// content: code bytes at an address are looked up in the image, and the place is believed when the payload's first bytes
// stand where they would have to.

import { physAddr } from '../bits/address.ts';
import type { GuestMemory } from '../cpu/state/memory.ts';
import type { BzImage } from '../image/bzimage.ts';

/** Bytes of code that are looked up. */
const NEEDLE = 48;
const PAYLOAD_PROBE = 64;

/** First place of `needle` in `bytes` between two offsets, or -1. */
function indexOfBytes(bytes: Uint8Array, needle: Uint8Array, from: number, to: number): number {
  const first = needle[0] as number;
  const last = Math.min(to, bytes.length) - needle.length;
  for (let at = bytes.indexOf(first, from); at >= 0 && at <= last; at = bytes.indexOf(first, at + 1)) {
    let same = 1;
    while (same < needle.length && bytes[at + same] === needle[same]) same++;
    if (same === needle.length) return at;
  }
  return -1;
}

/** Parts of the file that hold the stub's code and data: the protected-mode part without the payload. */
function stubRanges(image: BzImage): { from: number; to: number }[] {
  const { fileOffset, size } = image.protectedMode;
  const whole = { from: fileOffset, to: fileOffset + size };
  if (!image.payload) return [whole];
  return [
    { from: whole.from, to: image.payload.fileOffset },
    { from: image.payload.fileOffset + image.payload.length, to: whole.to },
  ];
}

/** File offset of code bytes that stand in the stub exactly once. */
export function locateInStub(image: BzImage, code: Uint8Array): number | undefined {
  const hits: number[] = [];
  for (const { from, to } of stubRanges(image)) {
    const hit = indexOfBytes(image.bytes, code, from, to);
    if (hit < 0) continue;
    hits.push(hit);
    if (indexOfBytes(image.bytes, code, hit + 1, to) >= 0) return undefined;
  }
  return hits.length === 1 ? hits[0] : undefined;
}

/** Physical address of the copy of the stub that code at `rip` belongs to. */
export function findStubCopy(memory: GuestMemory, image: BzImage, rip: number): number | undefined {
  const found = locateInStub(image, memory.read(physAddr(rip), NEEDLE));
  if (found === undefined) return undefined;
  const copy = rip - (found - image.protectedMode.fileOffset);
  return copy >= 0 && payloadMatches(memory, image, copy) ? copy : undefined;
}

function payloadMatches(memory: GuestMemory, image: BzImage, copy: number): boolean {
  if (!image.payload) return true;
  const length = Math.min(PAYLOAD_PROBE, image.payload.length);
  const file = image.bytes.subarray(image.payload.fileOffset, image.payload.fileOffset + length);
  const there = memory.read(physAddr(copy + image.payload.fileOffset - image.protectedMode.fileOffset), length);
  return file.every((byte, i) => byte === there[i]);
}
