import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { MIB } from '../../src/bits/sizes.ts';
import { bootImage } from '../../src/boot/boot.ts';
import type { ImageOptions } from '../../src/boot/protocol.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun, endedAsAsked } from '../../src/run/run.ts';
import { parseImage } from '../../src/image/image.ts';
import { concat, makeBzImage, makeElf, randomOf } from '../image/synthetic.ts';
import { testMemory } from './memory.ts';
import { codeOf, DEBUG_EXIT, HALT, makeElf32, multibootHeader } from './programs.ts';

const HEADER = multibootHeader(3);
/** The header, then code: entered behind the header. */
const program = (...code: readonly string[]): Uint8Array =>
  makeElf32({ bytes: concat([HEADER, codeOf(...code)]), entry: 0x10000c });

function booted(options: Partial<ImageOptions> = {}, bytes = program(HALT)) {
  const memory = testMemory();
  const boot = bootImage({ memoryBytes: 64 * MIB, ...options }, parseImage(bytes), memory);
  return { boot, memory, info: Number(boot.state.registers.rbx) };
}

function refusal(bytes: Uint8Array, options: Partial<ImageOptions> = {}): string {
  const memory = testMemory();
  try {
    bootImage({ memoryBytes: 64 * MIB, ...options }, parseImage(bytes), memory);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    if (memory.writes.length > 0 || error.message.includes('\n')) throw new Error('half loaded', { cause: error });
    return error.message;
  }
  return 'accepted';
}

const run = (bytes: Uint8Array, more: Partial<ConstructorParameters<typeof BootRun>[0]> = {}) =>
  runToEnd(
    new BootRun({
      image: bytes,
      cpu: 'max',
      memoryBytes: 64 * MIB,
      cmdline: '',
      until: 'banner',
      maxInstructions: 100_000n,
      seed: 0,
      ...more,
    }),
  );

describe('the Multiboot entry state', () => {
  it('is 32-bit protected mode without paging or interrupts', () => {
    const { state, protocol, entry } = booted().boot;
    expect({ protocol, entry }).toEqual({ protocol: 'multiboot', entry: 32 });
    expect(state).toMatchObject({ rip: 0x10000cn, rflags: 2n, cr0: 0x11n, cr4: 0n, efer: 0n });
    expect(state.registers.rax).toBe(0x2badb002n);
  });

  it('has flat segments', () => {
    const { cs, ds, ss } = booted().boot.state.segments;
    expect(cs).toMatchObject({ base: 0n, limit: 0xffffffff, attributes: 0xc09b });
    expect([ds, ss]).toEqual([ds, ds]);
    expect(ds).toMatchObject({ base: 0n, limit: 0xffffffff, attributes: 0xc093 });
  });
});

describe('the Multiboot information', () => {
  it('says which of its fields are valid: memory, command line, modules, map, loader', () => {
    const { memory, info } = booted();
    expect(memory.u32(info)).toBe(0b10_0100_1101);
    expect(memory.text(memory.u32(info + 64))).toBe('Firstlight');
  });

  it('counts memory below and above 1 MiB in KiB', () => {
    const { memory, info } = booted();
    expect([memory.u32(info + 4), memory.u32(info + 8)]).toEqual([639, 63 * 1024]);
  });

  it('has a memory map of entries that say their size', () => {
    const { memory, info } = booted({ memoryBytes: 6 * 1024 * MIB });
    const [length, start] = [memory.u32(info + 44), memory.u32(info + 48)];
    const entries: unknown[] = [];
    for (let at = start; at < start + length; at += memory.u32(at) + 4) {
      entries.push([memory.u64(at + 4), memory.u64(at + 12), memory.u32(at + 20)]);
    }
    expect(entries).toEqual([
      [0n, 0x9fc00n, 1],
      [0x9fc00n, 0x400n, 2],
      [0xf0000n, 0x10000n, 2],
      [0x100000n, 0xbff00000n, 1],
      [0x1_0000_0000n, 0xc000_0000n, 1],
    ]);
  });

  it('has a command line behind a name', () => {
    const { memory, info } = booted({ cmdline: 'smp=1 -v' });
    expect(memory.text(memory.u32(info + 16))).toBe('kernel smp=1 -v');
  });

  it('lists modules on pages behind the program, the initrd first', () => {
    const modules = [{ bytes: bytesOfHex('aa bb'), text: 'two words' }];
    const { memory, info } = booted({ initrd: new Uint8Array(5000).fill(7), modules });
    expect(memory.u32(info + 20)).toBe(2);
    const list = memory.u32(info + 24);
    const fields = [0, 4, 16, 20].map((at) => memory.u32(list + at));
    expect(fields).toEqual([0x101000, 0x101000 + 5000, 0x103000, 0x103002]);
    expect([memory.text(memory.u32(list + 8)), memory.text(memory.u32(list + 24))]).toEqual(['initrd', 'two words']);
    expect(memory.read(0x103000, 2)).toEqual(bytesOfHex('aa bb'));
  });
});

describe('what a Multiboot header loads', () => {
  it('is the ELF file as its program headers say', () => {
    const { boot, memory } = booted();
    expect(boot.loadAddress).toBe(0x100000);
    expect(memory.read(0x10000c, 3)).toEqual(codeOf(HALT));
  });

  it('is by its own addresses in any other file', () => {
    const code = codeOf(HALT);
    const header = multibootHeader(1 << 16, [0x200010, 0x200010, 0x200010 + 32 + 3, 0x201000, 0x200030]);
    const { boot, memory } = booted({}, concat([new Uint8Array(16), header, code, new Uint8Array(9).fill(1)]));
    expect(boot.state.rip).toBe(0x200030n);
    expect(boot.runtime).toEqual({ start: 0x200010, size: 0xff0 });
    expect(memory.read(0x200030, 4)).toEqual(concat([code, new Uint8Array(1)]));
  });

  it('is by its own addresses in an ELF file too', () => {
    const header = multibootHeader(1 << 16, [0x400000, 0x400000, 0, 0, 0x400020]);
    const { boot } = booted({}, makeElf32({ bytes: concat([header, codeOf(HALT)]) }));
    expect({ at: boot.loadAddress, rip: boot.state.rip }).toEqual({ at: 0x400000, rip: 0x400020n });
  });

  it('is an x86-64 ELF file, and that by default', () => {
    const segment = { physAddr: 0x200000n, virtAddr: 0x200000n, memSize: 0x100n };
    const bytes = makeElf({ segments: [{ ...segment, bytes: concat([HEADER, codeOf(HALT)]) }], entry: 0x20000cn });
    expect(booted({}, bytes).boot).toMatchObject({ protocol: 'multiboot', entry: 32 });
    expect(booted({ entry: 64 }, bytes).boot).toMatchObject({ protocol: 'linux', entry: 64 });
  });

  it('may touch the BIOS area, where linkers put ELF headers', () => {
    const bytes = makeElf32({ bytes: concat([HEADER, new Uint8Array(0x2000)]), physAddr: 0xff000 });
    expect(booted({}, bytes).boot.loadAddress).toBe(0xff000);
  });

  it('may lie in low memory: what the loader keeps there makes way', () => {
    const bytes = makeElf32({ bytes: HEADER, physAddr: 0x8000, memSize: 0x20000 });
    const { boot, info } = booted({}, bytes);
    expect(boot.loadAddress).toBe(0x8000);
    expect(info).toBeGreaterThanOrEqual(0x80000);
    expect(boot.placement.filter(({ start }) => start < 0x80000).map(({ name }) => name)).not.toContain('cmdline');
  });

  it('is nothing for a bzImage, whose own header comes first', () => {
    const bytes = makeBzImage({ code: concat([HEADER, new Uint8Array(0x300)]) });
    expect(booted({}, bytes).boot.protocol).toBe('linux');
  });
});

describe('a Multiboot program that cannot be loaded', () => {
  const flat = (addresses: readonly number[]) => concat([multibootHeader(1 << 16, addresses), codeOf(HALT)]);
  it.each<[string, Uint8Array, RegExp, Partial<ImageOptions>?]>([
    ['demands the unknown', makeElf32({ bytes: multibootHeader(8) }), /demands what no loader knows \(flags 0x8\)/],
    ['has no addresses and is no ELF file', multibootHeader(3), /without load addresses/],
    ['ends within its addresses', multibootHeader(1 << 16, [1]), /within the addresses/],
    ['starts before the file', flat([0x200000, 0x100000, 0, 0, 0x100000]), /does not allow that/],
    ['loads from behind its header', flat([0x100000, 0x200000, 0, 0, 0x100000]), /does not allow that/],
    ['loads more than there is', flat([0x100000, 0x100000, 0x200000, 0, 0x100000]), /the file ends at 0x23/],
    ['loads less than nothing', flat([0x100000, 0x100000, 0x1000, 0, 0x100000]), /the file ends at 0x23/],
    ['has less bss than code', flat([0x100000, 0x100000, 0, 0x100001, 0x100000]), /ends the bss/],
    ['is entered outside', flat([0x100000, 0x100000, 0, 0, 0x100023]), /entry point 0x100023 lies outside/],
    ['needs RAM there is not', makeElf32({ bytes: HEADER, physAddr: 0x8000000 }), /needs RAM from 0x8000000/],
    [
      'takes all of low memory',
      makeElf32({ bytes: HEADER, physAddr: 0x8000, memSize: 0x90000 }),
      /the loader keeps 0x80000/,
    ],
    ['lies on the ACPI tables', makeElf32({ bytes: HEADER, physAddr: 0xf0000 }), /the loader keeps 0xf0000/],
    ['is to lie elsewhere', program(HALT), /loaded where it is linked, at 0x100000/, { loadAt: 0x200000 }],
    ['gets an empty module', program(HALT), /a module is empty/, { initrd: new Uint8Array() }],
    ['gets a large module', program(HALT), /does not fit into RAM/, { initrd: new Uint8Array(64 * MIB) }],
    ['gets a long command line', program(HALT), /65536 at most/, { cmdline: 'x'.repeat(65530) }],
    ['gets a NUL', program(HALT), /NUL/, { cmdline: 'a\0b' }],
    ['is asked for another entry', program(HALT), /is entered by multiboot/, { entry: 64 }],
    ['is a bzImage', makeBzImage(), /entered by the Linux boot protocol, not by multiboot/, { entry: 'multiboot' }],
    ['is a vmlinux', makeElf(), /no Multiboot header/, { entry: 'multiboot' }],
  ])('%s', (_, bytes, message, options) => {
    expect(refusal(bytes, options)).toMatch(message);
  });

  it('gets too many modules', () => {
    const modules = Array.from({ length: 65 }, () => ({ bytes: HEADER, text: '' }));
    expect(refusal(program(HALT), { modules })).toMatch(/65 modules are too many/);
  });

  it('is a bzImage with modules', () => {
    expect(refusal(makeBzImage(), { modules: [{ bytes: HEADER, text: '' }] })).toMatch(/has no modules/);
  });

  it('has a header that is not aligned, has a wrong checksum, or comes late: that is none', () => {
    const wrong = multibootHeader(3);
    wrong[8] = 0;
    const late = concat([new Uint8Array(8184), HEADER]);
    for (const bytes of [concat([Uint8Array.of(0, 0), HEADER]), wrong, late]) {
      expect(refusal(makeElf32({ bytes }))).toMatch(/ELF file for i386/);
    }
  });

  it('is refused in words or loaded, whatever its bytes', () => {
    const whole = makeElf32({
      bytes: concat([multibootHeader(1 << 16, [0x100000, 0x100000, 0, 0, 0x100020]), codeOf(HALT)]),
    });
    const seen = { accepted: 0, refused: 0 };
    for (let seed = 0; seed < 3000; seed++) {
      const random = randomOf(seed);
      const bytes = Uint8Array.from(whole).subarray(0, random(4) === 0 ? random(whole.length) : whole.length);
      for (let i = random(4); i >= 0 && bytes.length > 0; i--) bytes[random(bytes.length)] = random(256);
      seen[refusal(bytes, seed % 2 ? { entry: 'pvh' } : {}) === 'accepted' ? 'accepted' : 'refused']++;
    }
    expect(Math.min(seen.accepted, seen.refused)).toBeGreaterThan(100);
  });
});

describe('a run of a Multiboot program', () => {
  it('ends well with 0 on the debug-exit port', () => {
    // mov $0x3f8, %dx; mov $'!', %al; out; xor %eax, %eax; out %eax, $0xf4
    const { outcome, console } = run(program('66 ba f8 03 b0 21 ee 31 c0', DEBUG_EXIT, HALT));
    expect({ outcome, console }).toMatchObject({ outcome: { kind: 'debug-exit', value: 0, code: 1 }, console: '!' });
    expect(endedAsAsked(outcome, 'banner')).toBe(true);
  });

  it('fails with anything else there', () => {
    const { outcome } = run(program('b8 01 00 00 80', DEBUG_EXIT, HALT));
    expect(outcome).toMatchObject({ kind: 'debug-exit', value: 0x8000_0001, code: 3, stage: 'handoff' });
    expect(endedAsAsked(outcome, 'end')).toBe(false);
  });

  it('starts in the state that it was promised', () => {
    // cmp $0x2badb002, %eax; setne %al; pushf; pop %ecx; and $0x20200, %ecx; mov %cr0, %edx; and $0x80000001, %edx;
    // dec %edx; or %edx, %ecx; movzx %al, %eax; or %ecx, %eax
    const { outcome } = run(
      program(
        '3d 02 b0 ad 2b 0f 95 c0 9c 59 81 e1 00 02 02 00 0f 20 c2 81 e2 01 00 00 80 4a 09 d1 0f b6 c0 09 c8',
        DEBUG_EXIT,
      ),
    );
    expect(outcome).toMatchObject({ kind: 'debug-exit', value: 0 });
  });

  it('finds its module', () => {
    // mov 24(%ebx), %eax; mov (%eax), %eax; mov (%eax), %eax
    const { outcome } = run(program('8b 43 18 8b 00 8b 00', DEBUG_EXIT), { initrd: bytesOfHex('78 56 34 12') });
    expect(outcome).toMatchObject({ value: 0x12345678, code: 0x2468acf1 });
  });

  it('learns the RAM size from fw_cfg', () => {
    // mov $0x510, %dx; mov $3, %ax; out %ax, %dx; inc %dx; 3 times in %dx, %al; in %dx, %al; movzx %al, %eax
    const { outcome } = run(program('66 ba 10 05 66 b8 03 00 66 ef 42 ec ec ec ec 0f b6 c0', DEBUG_EXIT));
    expect(outcome).toMatchObject({ value: (64 * MIB) / 2 ** 24 });
  });

  it('that halts is no success', () => {
    const { outcome } = run(program(HALT));
    expect(outcome).toMatchObject({ kind: 'halt', rip: 0x10000dn, interruptsEnabled: false });
  });
});
