import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { MIB } from '../../src/bits/sizes.ts';
import { bootImage } from '../../src/boot/boot.ts';
import type { ImageOptions } from '../../src/boot/protocol.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import { parseImage } from '../../src/image/image.ts';
import { pvhEntryOf } from '../../src/image/pvhNote.ts';
import { concat, makeElf } from '../image/synthetic.ts';
import { testMemory } from './memory.ts';
import { codeOf, DEBUG_EXIT, type Elf32Parts, HALT, makeElf32, pvhNote } from './programs.ts';

const program = (code: Uint8Array = codeOf(HALT), more: Partial<Elf32Parts> = {}): Uint8Array =>
  makeElf32({ bytes: code, notes: pvhNote(0x100000), ...more });

function booted(options: Partial<ImageOptions> = {}, bytes = program()) {
  const memory = testMemory();
  const boot = bootImage({ memoryBytes: 64 * MIB, ...options }, parseImage(bytes), memory);
  return { boot, memory, info: Number(boot.state.registers.rbx) };
}

describe('the PVH note', () => {
  it('names the entry in 4 or 8 bytes', () => {
    expect(pvhEntryOf(program())).toBe(0x100000);
    expect(pvhEntryOf(program(codeOf(HALT), { notes: pvhNote(0x123000, 8) }))).toBe(0x123000);
  });

  it('is found behind other notes', () => {
    // "GNU", 5 bytes, type 3, padded to 8.
    const other = bytesOfHex('04000000 05000000 03000000 474e5500 0102030405000000');
    expect(pvhEntryOf(program(codeOf(HALT), { notes: concat([other, pvhNote(0x100000)]) }))).toBe(0x100000);
  });

  it.each([
    ['of another name', bytesOfHex('04000000 04000000 12000000 58656e21 00001000')],
    ['of another type', bytesOfHex('04000000 04000000 11000000 58656e00 00001000')],
    ['cut off', pvhNote(0x100000).subarray(0, 18)],
    ['with a size that leaves the file', bytesOfHex('04000000 ffffffff 12000000 58656e00 00001000')],
    ['above 4 GiB', bytesOfHex('04000000 08000000 12000000 58656e00 0000100001000000')],
  ])('%s is none', (_, notes) => {
    expect(pvhEntryOf(program(codeOf(HALT), { notes }))).toBeUndefined();
  });
});

describe('the PVH entry', () => {
  it('is taken by a 32-bit ELF file without a Multiboot header', () => {
    expect(booted().boot).toMatchObject({ protocol: 'pvh', entry: 32 });
  });

  it('is 32-bit protected mode with a busy TSS', () => {
    const { state } = booted().boot;
    expect(state).toMatchObject({ rip: 0x100000n, rflags: 2n, cr0: 0x11n, cr4: 0n, efer: 0n });
    expect(state.tr).toEqual({ selector: 0, base: 0n, limit: 0x67, attributes: 0x8b });
    expect(state.segments.cs).toMatchObject({ base: 0n, limit: 0xffffffff, attributes: 0xc09b });
  });

  it('of an x86-64 ELF file has to be asked for', () => {
    const segments = [{ physAddr: 0x100000n, virtAddr: 0x100000n, memSize: 0x100n, bytes: pvhNote(0x100000, 8) }];
    const bytes = makeElf({ segments, entry: 0x100000n });
    expect(booted({}, bytes).boot.protocol).toBe('linux');
    expect(() => booted({ entry: 'pvh' }, bytes)).toThrow(/has no PVH entry/);
    // The only program header made to be a note as well as a segment cannot be; so the note gets a header of its own.
    const withNote = makeElf({
      segments: [...segments, ...segments.map((s) => ({ ...s, physAddr: 0x200000n }))],
      entry: 0x100000n,
    });
    withNote[64 + 56] = 4;
    expect(booted({ entry: 'pvh' }, withNote).boot).toMatchObject({
      protocol: 'pvh',
      entry: 32,
      loadAddress: 0x100000,
    });
  });

  it('has to lie in what is loaded', () => {
    const bytes = program(codeOf(HALT), { notes: pvhNote(0x100003) });
    expect(() => booted({}, bytes)).toThrow(InputError);
    expect(() => booted({}, bytes)).toThrow(/PVH entry point 0x100003 lies in no loaded segment/);
  });
});

describe('hvm_start_info', () => {
  it('is version 1 with command line, RSDP and memory map', () => {
    const { memory, info } = booted({ cmdline: 'console=ttyS0' });
    expect([memory.u32(info), memory.u32(info + 4), memory.u32(info + 8)]).toEqual([0x336ec578, 1, 0]);
    expect(memory.text(Number(memory.u64(info + 24)))).toBe('console=ttyS0');
    expect(memory.text(Number(memory.u64(info + 32)))).toMatch(/^RSD PTR /);
    const map = Number(memory.u64(info + 40));
    const entries = Array.from({ length: memory.u32(info + 48) }, (_, i) => map + 24 * i);
    expect(entries.map((at) => [memory.u64(at), memory.u64(at + 8), memory.u32(at + 16), memory.u32(at + 20)])).toEqual(
      [
        [0n, 0x9fc00n, 1, 0],
        [0x9fc00n, 0x400n, 2, 0],
        [0xf0000n, 0x10000n, 2, 0],
        [0x100000n, 0x3f00000n, 1, 0],
      ],
    );
  });

  it('lists modules', () => {
    const modules = [{ bytes: bytesOfHex('01 02 03'), text: 'second' }];
    const { memory, info } = booted({ initrd: bytesOfHex('aa bb'), modules });
    expect(memory.u32(info + 12)).toBe(2);
    const list = Number(memory.u64(info + 16));
    const [first, second] = [list, list + 32].map((at) => [memory.u64(at), memory.u64(at + 8)]);
    expect([first, second]).toEqual([
      [0x101000n, 2n],
      [0x102000n, 3n],
    ]);
    expect(memory.text(Number(memory.u64(list + 32 + 16)))).toBe('second');
  });

  it('without modules has no list', () => {
    const { memory, info } = booted();
    expect([memory.u32(info + 12), memory.u64(info + 16)]).toEqual([0, 0n]);
  });
});

describe('a run by the PVH entry', () => {
  it('finds hvm_start_info and a task register', () => {
    // mov (%ebx), %eax; xor $0x336ec578, %eax; str %dx would read the selector, which is 0: or it in; out
    const code = codeOf('8b 03 35 78 c5 6e 33 31 d2 0f 00 ca 09 d0', DEBUG_EXIT, HALT);
    const { outcome } = runToEnd(
      new BootRun({
        image: program(code),
        cpu: 'max',
        memoryBytes: 64 * MIB,
        cmdline: '',
        until: 'end',
        maxInstructions: 1000n,
        seed: 0,
      }),
    );
    expect(outcome).toMatchObject({ kind: 'debug-exit', value: 0, code: 1 });
  });
});
