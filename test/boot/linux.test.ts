import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { GIB, MIB } from '../../src/bits/sizes.ts';
import { endOf, overlap, type Range } from '../../src/boot/layout.ts';
import { bootImage } from '../../src/boot/boot.ts';
import type { Boot, ImageOptions, PlacedName } from '../../src/boot/protocol.ts';
import { parseImage } from '../../src/image/image.ts';
import { makeBzImage, makeElf, SETUP_SIZE } from '../image/synthetic.ts';
import { type TestMemory, testMemory, walk } from './memory.ts';

interface Booted {
  readonly boot: Boot;
  readonly memory: TestMemory;
  readonly params: number;
}

function booted(options: Partial<ImageOptions> = {}, bytes = makeBzImage()): Booted {
  const memory = testMemory();
  const boot = bootImage({ memoryBytes: 512 * MIB, ...options }, parseImage(bytes), memory);
  return { boot, memory, params: Number(boot.state.registers.rsi) };
}

function find(boot: Boot, name: PlacedName): { start: number; size: number } {
  const found = boot.placement.find((p) => p.name === name);
  if (found === undefined) throw new Error(`nothing placed as ${name}`);
  return found;
}

const refusal = (options: Partial<ImageOptions>, bytes = makeBzImage()): string => {
  const memory = testMemory();
  try {
    bootImage({ memoryBytes: 512 * MIB, ...options }, parseImage(bytes), memory);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    expect(memory.writes).toEqual([]);
    expect(error.message).not.toContain('\n');
    return error.message;
  }
  return 'accepted';
};

describe('the 64-bit entry', () => {
  it('starts 0x200 behind the load address with boot_params in RSI', () => {
    const { boot, params } = booted();
    expect(boot.entry).toBe(64);
    expect(boot.loadAddress).toBe(0x1000000);
    expect(boot.state).toMatchObject({ mode: 'long64', rip: 0x1000200n, rflags: 2n, idtLimit: 0 });
    expect(params).toBe(find(boot, 'boot_params').start);
  });

  it('is in long mode with PAE paging', () => {
    // Intel SDM 3, 5.1.1: CR0.PE and PG, CR4.PAE, EFER.LME and LMA.
    expect(booted().boot.state).toMatchObject({ cr0: 0x80000011n, cr4: 0x20n, efer: 0x500n });
  });

  it('sets CR4.LA57 for five levels', () => {
    expect(booted({ paging: 5 }).boot.state.cr4).toBe(0x1020n);
  });

  it('has flat segments that the GDT in memory agrees with', () => {
    const { boot, memory } = booted();
    const { gdtBase, gdtLimit, segments } = boot.state;
    expect(gdtLimit).toBe(31);
    // The manual's layout: limit 0xfffff with G, base 0; type execute/read with L, type read/write with D/B.
    expect(memory.read(Number(gdtBase) + 0x10, 8)).toEqual(bytesOfHex('ff ff 00 00 00 9b af 00'));
    expect(memory.read(Number(gdtBase) + 0x18, 8)).toEqual(bytesOfHex('ff ff 00 00 00 93 cf 00'));
    expect(segments.cs).toEqual({ selector: 0x10, base: 0n, limit: 0xffffffff, attributes: 0xa09b });
    for (const name of ['ds', 'es', 'ss', 'fs', 'gs'] as const) {
      expect(segments[name]).toEqual({ selector: 0x18, base: 0n, limit: 0xffffffff, attributes: 0xc093 });
    }
  });

  it.each([
    [4, false],
    [5, false],
    [4, true],
    [5, true],
  ] as const)(
    'maps RAM, the kernel and all of the first 4 GiB 1:1 (%i levels, 1 GiB pages %s)',
    (paging, gigabytePages) => {
      const loadAt = 0x1_4000_0000;
      const { boot, memory } = booted({ paging, gigabytePages, memoryBytes: 6 * GIB, loadAt });
      const end = BigInt(endOf(boot.runtime)) - 1n;
      const points = [
        0n,
        0x1234n,
        0xfee00000n,
        0xffffffffn,
        0x1_0000_0000n,
        BigInt(loadAt) + 0x200n,
        end,
        0x1_bfff_ffffn,
      ];
      expect(points.map((address) => walk(memory, boot.state.cr3, paging, address))).toEqual(points);
      expect(walk(memory, boot.state.cr3, paging, 0x10_0000_0000n)).toBeUndefined();
    },
  );

  it('maps a kernel far above the RAM that is mapped by default', () => {
    const loadAt = 0x100_0000_0000;
    const { boot, memory } = booted({ memoryBytes: 2 ** 41, loadAt });
    expect(walk(memory, boot.state.cr3, 4, BigInt(loadAt) + 0x200n)).toBe(BigInt(loadAt) + 0x200n);
  });

  it('maps a kernel that only five levels reach', () => {
    const loadAt = 2 ** 49 + 2 ** 30;
    const { boot, memory } = booted({ memoryBytes: 2 ** 50, loadAt, paging: 5 });
    const entry = BigInt(loadAt) + 0x200n;
    expect([walk(memory, boot.state.cr3, 5, entry), walk(memory, boot.state.cr3, 5, 0x200n)]).toEqual([entry, 0x200n]);
  });

  it('keeps its page tables within their area however much RAM there is', () => {
    const { boot } = booted({ memoryBytes: 2 ** 46, loadAt: 2 ** 45, paging: 5 });
    expect(endOf(find(boot, 'page_tables'))).toBeLessThanOrEqual(0x90000);
  });
});

describe('the 32-bit entry', () => {
  it('starts at the load address, without paging, EBP, EDI and EBX zero', () => {
    const { boot } = booted({ entry: 32 });
    expect(boot.state).toMatchObject({ mode: 'protected32', rip: 0x1000000n, cr0: 0x11n, cr3: 0n, cr4: 0n, efer: 0n });
    expect(boot.state.registers).toMatchObject({ rbp: 0n, rdi: 0n, rbx: 0n });
    expect(boot.state.segments.cs).toMatchObject({ selector: 0x10, attributes: 0xc09b });
  });

  it('has a 32-bit code segment in its GDT, and no page tables', () => {
    const { boot, memory } = booted({ entry: 32 });
    expect(memory.read(Number(boot.state.gdtBase) + 0x10, 8)).toEqual(bytesOfHex('ff ff 00 00 00 9b cf 00'));
    expect(boot.placement.map((p) => p.name)).not.toContain('page_tables');
  });

  it('is the default where there is no 64-bit one, which is then refused', () => {
    const bytes = makeBzImage({ fields: { xloadflags: 0 } });
    expect(booted({}, bytes).boot.entry).toBe(32);
    expect(refusal({ entry: 64 }, bytes)).toMatch(/no 64-bit entry/);
  });
});

describe('boot_params', () => {
  it('holds the setup header up to its end, with the loader fields filled in', () => {
    const bytes = makeBzImage({ fields: { root_flags: 1 } });
    bytes.fill(0xcc, 0x26c, 0x290);
    const { memory, params, boot } = booted({}, bytes);
    expect(memory.u32(params + 0x202)).toBe(0x53726448);
    expect(memory.u16(params + 0x206)).toBe(0x20f);
    expect(memory.u32(params + 0x230)).toBe(0x200000);
    expect(memory.u32(params + 0x260)).toBe(0x1000000);
    expect(memory.u16(params + 0x1f2)).toBe(1);
    expect(memory.read(params + 0x210, 1)[0]).toBe(0xff);
    expect(memory.read(params + 0x211, 1)[0]).toBe(0x01);
    expect(memory.u32(params + 0x214)).toBe(boot.loadAddress);
    expect(memory.read(params + 0x26c, 0x24).every((b) => b === 0)).toBe(true);
  });

  it('is zero before the header but for memory sizes and acpi_rsdp_addr (sentinel, screen_info)', () => {
    const { memory, params } = booted();
    const bytes = memory.read(params, 0x1f1);
    const set = [...bytes.keys()].filter((i) => bytes[i] !== 0);
    expect(set).toEqual([0x03, 0x72, 0x1e1, 0x1e2, 0x1e8]);
  });

  it('says where the ACPI tables begin, on a PC', () => {
    const { memory, params } = booted();
    const rsdp = Number(memory.u64(params + 0x70));
    expect([rsdp, new TextDecoder().decode(memory.read(rsdp, 8))]).toEqual([0xf0000, 'RSD PTR ']);
    const plain = booted({ loadAt: 0, plainRam: true });
    expect(plain.memory.u64(plain.params + 0x70)).toBe(0n);
    expect(plain.boot.placement.map((placed) => placed.name)).not.toContain('acpi_tables');
  });

  it('tells the memory map of a PC', () => {
    const { memory, params } = booted({ memoryBytes: 6 * GIB });
    const count = memory.read(params + 0x1e8, 1)[0] ?? 0;
    const table = Array.from({ length: count }, (_, i) => params + 0x2d0 + 20 * i).map((at) => [
      memory.u64(at),
      memory.u64(at + 8),
      memory.u32(at + 16),
    ]);
    expect(table).toEqual([
      [0n, 0x9fc00n, 1],
      [0x9fc00n, 0x400n, 2],
      [0xf0000n, 0x10000n, 2],
      [0x100000n, 0xbff00000n, 1],
      [0x1_0000_0000n, 0xc000_0000n, 1],
    ]);
    expect(memory.u32(params + 0x1e0)).toBe((3 * GIB - MIB) / 1024);
    expect(memory.u16(params + 0x002)).toBe(0xfc00);
  });

  it('points to the command line, which ends in a NUL', () => {
    const { boot, memory, params } = booted({ cmdline: 'console=ttyS0 quiet' });
    expect(find(boot, 'cmdline').size).toBe(20);
    expect(memory.text(memory.u32(params + 0x228))).toBe('console=ttyS0 quiet');
    expect(memory.u32(params + 0xc8)).toBe(0);
  });

  it('leaves code32_start alone where it cannot hold the load address', () => {
    const { memory, params } = booted({ memoryBytes: 6 * GIB, loadAt: 0x1_0000_0000 });
    expect(memory.u32(params + 0x214)).toBe(0x100000);
  });
});

describe('low memory', () => {
  it('has the two words that stubs read in the BIOS data area', () => {
    const { memory } = booted();
    expect(memory.u16(0x40e) * 16).toBe(0x9fc00);
    expect(memory.u16(0x413) * 1024).toBe(0x9fc00);
  });

  it('leaves the trampoline area below the EBDA alone', () => {
    const { boot } = booted({ memoryBytes: 2 ** 40, cmdline: 'x'.repeat(2047) });
    expect(boot.placement.filter((placed) => overlap(placed, { start: 0x90000, size: 0x60000 }))).toEqual([]);
  });
});

describe('everything put into memory', () => {
  it.each<[string, Partial<ImageOptions>]>([
    ['64-bit', {}],
    ['32-bit', { entry: 32 }],
    ['1 MiB', { loadAt: 0x100000 }],
    ['above 4 GiB', { loadAt: 0x1_0000_0000, memoryBytes: 6 * GIB }],
    ['plain RAM', { loadAt: 0, plainRam: true }],
  ])('is listed, in RAM (the BIOS in what is reserved for it), and overlaps nothing else (%s)', (_, options) => {
    const { boot, memory } = booted({ cmdline: 'x', initrd: new Uint8Array(100_000).fill(7), ...options });
    const { placement, e820, runtime } = boot;
    const inside = (range: Range, outer: Range): boolean => range.start >= outer.start && endOf(range) <= endOf(outer);
    const others = placement.filter((p) => p.name !== 'image');
    expect(placement.filter((a) => placement.some((b) => a !== b && overlap(a, b)))).toEqual([]);
    expect(others.filter((p) => overlap(p, runtime))).toEqual([]);
    const typeOf = (p: { name: string }): number => (/^(?:(?:acpi|smbios)_tables|bios_handlers)$/.test(p.name) ? 2 : 1);
    expect(placement.filter((p) => !e820.some((e) => e.type === typeOf(p) && inside(p, e)))).toEqual([]);
    expect(memory.writes.filter((write) => !placement.some((p) => inside(write, p)))).toEqual([]);
    expect(memory.writes.length).toBeGreaterThan(3);
  });

  it('has the protected-mode part at the load address, without setup part and signature', () => {
    const bytes = makeBzImage({ tail: new Uint8Array(0x24).fill(0xaa), signature: new Uint8Array(64).fill(0xbb) });
    const { boot, memory } = booted({}, bytes);
    expect(memory.read(boot.loadAddress, 0x330)).toEqual(bytes.subarray(SETUP_SIZE, SETUP_SIZE + 0x330));
    expect(memory.read(boot.loadAddress + 0x330, 4)).toEqual(new Uint8Array(4));
  });
});

describe('the load address', () => {
  it('is pref_address of a relocatable kernel', () => {
    expect(booted().boot.loadAddress).toBe(0x1000000);
  });

  it('is 1 MiB for a fixed kernel, which unpacks at pref_address', () => {
    const { boot } = booted({}, makeBzImage({ fields: { relocatable_kernel: 0 } }));
    expect(boot.loadAddress).toBe(0x100000);
    expect(boot.runtime.start).toBe(0x1000000);
  });

  it('is 1 MiB where there is no RAM at pref_address', () => {
    const bytes = makeBzImage({ fields: { pref_address: 0x4000_0000n, relocatable_kernel: 1 } });
    expect(refusal({}, bytes)).toMatch(/init_size\) needs RAM from 0x40000000 to 0x41000000/);
    expect(booted({}, makeBzImage({ fields: { pref_address: 0n } })).boot.loadAddress).toBe(0x100000);
  });

  it('may be 1 MiB although that is not aligned; the kernel then unpacks at pref_address', () => {
    const { boot } = booted({ loadAt: 0x100000 });
    expect(boot.state.rip).toBe(0x100200n);
    expect(boot.runtime).toEqual({ start: 0x1000000, size: 0x1000000 });
  });

  it('may be off kernel_alignment: a relocatable kernel realigns itself, and that is said', () => {
    const { boot } = booted({ loadAt: 0x1101000 });
    expect(boot.state.rip).toBe(0x1101200n);
    expect(boot.runtime.start).toBe(0x1200000);
    expect(boot.moves).toEqual({ alignment: 0x200000, to: 0x1200000 });
    expect(booted({ loadAt: 0x1200000 }).boot.moves).toBeUndefined();
    expect(booted({ loadAt: 0x100000 }).boot.moves).toBeUndefined();
  });

  it('is nowhere for an image that names no 32-bit entry, but only real-mode setup code knows', () => {
    const fields = { code32_start: 0, relocatable_kernel: 0, payload_offset: 0, payload_length: 0, xloadflags: 0 };
    expect(refusal({}, makeBzImage({ fields }))).toMatch(
      /code32_start is 0\): its own real-mode setup has to run first/,
    );
  });

  it('may be above pref_address, where the kernel unpacks in place', () => {
    expect(booted({ loadAt: 0x4000000 }).boot.runtime.start).toBe(0x4000000);
  });

  it('may be 0 on plain RAM, with all else above what the kernel unpacks to', () => {
    const { boot } = booted({ loadAt: 0, plainRam: true });
    expect(boot.state.rip).toBe(0x200n);
    expect(boot.e820).toEqual([{ start: 0, size: 512 * MIB, type: 1 }]);
    const others = boot.placement.filter((placed) => placed.name !== 'image');
    expect(others.map((placed) => placed.name)).toEqual(['gdt', 'stack', 'boot_params', 'cmdline', 'page_tables']);
    expect(others.filter((placed) => placed.start < 0x2000000)).toEqual([]);
  });

  it.each<[string, Partial<ImageOptions>, RegExp, Parameters<typeof makeBzImage>[0]?]>([
    ['not that of a page', { loadAt: 0x1100200 }, /0x1100200 is no multiple of a page \(0x1000\)/],
    [
      'aligned beyond RAM',
      {},
      /init_size\), at a multiple of kernel_alignment, which is 0x40000000, needs RAM from 0x40000000/,
      { fields: { kernel_alignment: 0x40000000 } },
    ],
    [
      'of a fixed kernel',
      { loadAt: 0x2000000 },
      /not relocatable: it can be loaded at 0x1000000 or 0x100000/,
      { fields: { relocatable_kernel: 0 } },
    ],
    ['0 on a PC', { loadAt: 0 }, /below 1 MiB are the BIOS/],
    [
      'beyond RAM',
      { loadAt: 0x40000000 },
      /the kernel image needs RAM from 0x40000000 .* only at 0x0 to 0x9fc00, 0x100000 to 0x20000000/,
    ],
    ['with init_size beyond RAM', { loadAt: 0x1f800000 }, /\(init_size\) needs RAM from 0x1f800000 to 0x20800000/],
    ['in the device hole', { loadAt: 0xd0000000, memoryBytes: 6 * GIB }, /needs RAM from 0xd0000000/],
    [
      'above 4 GiB for the 32-bit entry',
      { loadAt: 0x1_0000_0000, memoryBytes: 6 * GIB, entry: 32 },
      /the 32-bit entry works below 4 GiB/,
    ],
    [
      'above 4 GiB without the flag',
      { loadAt: 0x1_0000_0000, memoryBytes: 6 * GIB },
      /without XLF_CAN_BE_LOADED_ABOVE_4G/,
      { fields: { xloadflags: 1 } },
    ],
    ['beyond four levels', { loadAt: 2 ** 47, memoryBytes: 2 ** 48 }, /4-level page tables reach 128 TiB/],
    ['no number', { loadAt: Number.NaN }, /NaN is no load address/],
    ['negative', { loadAt: -4096 }, /-4096 is no load address/],
  ])('%s is refused with its rule', (_, options, message, parts = {}) => {
    expect(refusal(options, makeBzImage(parts))).toMatch(message);
  });
});

describe('the initrd', () => {
  const initrd = Uint8Array.from({ length: 10_000 }, (_, i) => i);

  it('lies page-aligned at the top of RAM, and boot_params says where', () => {
    const { boot, memory, params } = booted({ initrd });
    const { start, size } = find(boot, 'initrd');
    expect([start, size]).toEqual([0x1fffd000, 10_000]);
    expect([memory.u32(params + 0x218), memory.u32(params + 0x21c)]).toEqual([start, size]);
    expect([memory.u32(params + 0xc0), memory.u32(params + 0xc4)]).toEqual([0, 0]);
    expect(memory.read(start, size)).toEqual(initrd);
  });

  it('stays below initrd_addr_max', () => {
    const bytes = makeBzImage({ fields: { initrd_addr_max: 0x37ff_ffff } });
    expect(find(booted({ initrd, memoryBytes: 2 * GIB }, bytes).boot, 'initrd').start).toBe(0x37ffd000);
  });

  it('makes way for what the kernel unpacks to', () => {
    const { boot } = booted({ initrd, memoryBytes: 64 * MIB, loadAt: 0x3000000 });
    expect(endOf(boot.runtime)).toBe(64 * MIB);
    expect(find(boot, 'initrd').start).toBe(0x2ffd000);
  });

  it.each([
    ['empty', new Uint8Array(), /the initrd is empty/],
    ['too large', new Uint8Array(31 * MIB), /initrd of 32505856 bytes does not fit/],
  ])('is refused where it is %s', (_, bytes, message) => {
    expect(refusal({ initrd: bytes, memoryBytes: 32 * MIB })).toMatch(message);
  });
});

describe('the command line', () => {
  it('is refused where it is longer than cmdline_size', () => {
    expect(refusal({ cmdline: 'x'.repeat(2047) })).toBe('accepted');
    expect(refusal({ cmdline: 'x'.repeat(2048) })).toMatch(/has 2048 bytes; this kernel takes 2047/);
  });

  it('is refused with a NUL in it', () => {
    expect(refusal({ cmdline: 'a\0b' })).toMatch(/NUL/);
  });

  it('is kept within its area whatever the header says', () => {
    const bytes = makeBzImage({ fields: { cmdline_size: 0xffffffff } });
    expect(refusal({ cmdline: 'x'.repeat(65536) }, bytes)).toMatch(/takes 65535 at most/);
  });
});

describe('memory sizes', () => {
  it.each([
    [0, /too few/],
    [4097, /whole number of 4096-byte pages/],
    [Number.NaN, /whole number/],
    [2 ** 52, /more than 52-bit addresses reach/],
  ])('%s is refused', (memoryBytes, message) => {
    expect(refusal({ memoryBytes })).toMatch(message);
  });
});

describe('an ELF image', () => {
  it('is loaded segment by segment and entered at its physical entry', () => {
    const { boot, memory, params } = booted({ cmdline: 'hello' }, makeElf({ entry: 0xffffffff81000010n }));
    expect(boot.state).toMatchObject({ mode: 'long64', rip: 0x1000010n });
    expect(memory.read(0x1000000, 0x101)).toEqual(Uint8Array.from({ length: 0x101 }, (_, i) => (i < 0x100 ? 0x90 : 0)));
    expect(memory.u32(params + 0x202)).toBe(0x53726448);
    expect(memory.text(memory.u32(params + 0x228))).toBe('hello');
    expect(find(boot, 'image')).toMatchObject({ start: 0x1000000, size: 0x3000 });
  });

  it('moves as a whole where it is ET_DYN', () => {
    const { boot } = booted({ loadAt: 0x2000000 }, makeElf({ type: 3 }));
    expect([boot.loadAddress, boot.state.rip]).toEqual([0x2000000, 0x2000000n]);
  });

  it.each<[string, Partial<ImageOptions>, Parameters<typeof makeElf>[0], RegExp]>([
    ['at another address than it is linked for', { loadAt: 0x2000000 }, {}, /linked for 0x1000000 \(ET_EXEC\)/],
    ['off by less than a page', { loadAt: 0x2000010 }, { type: 3 }, /whole number of pages/],
    ['by the 32-bit entry', { entry: 32 }, {}, /no 32-bit entry/],
    ['without RAM', { memoryBytes: 8 * MIB }, {}, /a segment of the ELF image needs RAM from 0x1000000 to 0x1003000/],
  ])('is refused %s', (_, options, parts, message) => {
    expect(refusal(options, makeElf(parts))).toMatch(message);
  });

  it('is refused where its segments lie too far apart to be mapped', () => {
    const segment = (physAddr: bigint) => ({ physAddr, virtAddr: physAddr, memSize: 0x10n, bytes: new Uint8Array(16) });
    const bytes = makeElf({ segments: [segment(0x1000000n), segment(0x100_0000_0000n)] });
    expect(refusal({ memoryBytes: 2 ** 41 }, bytes)).toMatch(/spans 0xffff000010 bytes/);
  });
});
