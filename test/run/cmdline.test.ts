// What is put before the command line, for whom, and what of it is left out.
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/boot/protocol.ts';
import { type CommandLineRequest, givenPart, guestOf, withOurWords } from '../../src/run/cmdline.ts';
import { type KernelImage, parseImage } from '../../src/image/image.ts';
import { concat, makeBzImage, makeElf } from '../image/synthetic.ts';
import { makeElf32, multibootHeader, pvhNote } from '../boot/programs.ts';

const text = (...strings: readonly string[]): Uint8Array =>
  new TextEncoder().encode(strings.map((s) => `${s}\0`).join(''));
const BANNER = text('Linux version 6.1.0 (gcc) #1 SMP');
const XEN_SAYS = text('Xen version %d.%d%s', 'com1');
const EARLY = 'earlyprintk=serial,ttyS0,115200';
const BOTH = `${EARLY} console=ttyS0`;

const BZIMAGE = makeBzImage();
const LINUX = parseImage(BZIMAGE);
const vmlinux = (bytes: Uint8Array): KernelImage =>
  parseImage(makeElf({ segments: [{ physAddr: 0x1000000n, virtAddr: 0x1000000n, memSize: 0x1000n, bytes }] }));
const program = (says: Uint8Array): KernelImage => parseImage(makeElf32({ bytes: concat([multibootHeader(0), says]) }));
const pvhProgram = (says: Uint8Array): KernelImage =>
  parseImage(makeElf32({ bytes: concat([new Uint8Array(16), says]), notes: pvhNote(0x100000) }));
const XEN = program(XEN_SAYS);
/** A loader in the form of a bzImage has no payload. */
const loader = (says: Uint8Array): KernelImage =>
  parseImage(makeBzImage({ tail: says, fields: { payload_offset: 0, payload_length: 0 } }));

const lineOf = (image: KernelImage, given: string, more: Partial<CommandLineRequest> = {}): string =>
  withOurWords({ image, given, ...more }).cmdline;

describe('who is told to speak on the serial port', () => {
  const guests: readonly (readonly [string, KernelImage, Entry | undefined, string])[] = [
    ['a bzImage', LINUX, undefined, BOTH],
    ['a vmlinux', vmlinux(BANNER), undefined, BOTH],
    ['a vmlinux entered by PVH', vmlinux(BANNER), 'pvh', BOTH],
    ['a 32-bit vmlinux entered by PVH', pvhProgram(BANNER), undefined, BOTH],
    ['Xen by Multiboot', XEN, undefined, 'com1=115200,8n1 console=com1,vga'],
    ['Xen by PVH', pvhProgram(XEN_SAYS), undefined, 'com1=115200,8n1 console=com1,vga'],
    ['GNU Mach', program(text('GNU Mach 1.8', ' console=com')), undefined, 'console=com0'],
    ['Memtest86+', loader(text('Memtest86+ v6.10', 'ttyS')), undefined, 'console=ttyS0,115200'],
    ['a Memtest86+ without a serial console', loader(text('Memtest86+ v5.01')), undefined, ''],
    ['a loader that nobody knows', loader(text('iPXE')), undefined, ''],
    ['an ELF file that does not say it is Linux', vmlinux(text('U-Boot 2023.01')), undefined, ''],
    ['a Multiboot program, whatever it quotes', program(BANNER), undefined, ''],
    ['a PVH program', pvhProgram(text('hello')), undefined, ''],
  ];
  it.each(guests)('%s', (_, image, entry, words) => {
    expect(withOurWords({ image, entry, given: '' })).toMatchObject({
      cmdline: words,
      cmdlineAdded: words,
      leftOut: '',
    });
  });

  it('whatever is to run a command in Linux', () => {
    const image = vmlinux(text('nothing'));
    expect(withOurWords({ image, given: '', isLinux: true }).cmdline).toBe(BOTH);
  });

  it('a kernel too old to say where its payload is', () => {
    const old = { ...(LINUX as object), payload: undefined, protocol: 0x206, version: '2.6.23' } as KernelImage;
    expect(guestOf(old)?.name).toBe('Linux');
  });
});

describe('a word that the given line settles', () => {
  it.each([
    ['', BOTH],
    ['quiet', `${BOTH} quiet`],
    ['console=tty0 quiet', `${EARLY} console=tty0 quiet`],
    ['quiet console=ttyS1,9600', `${EARLY} quiet console=ttyS1,9600`],
    ['earlyprintk=vga', 'console=ttyS0 earlyprintk=vga'],
    ['earlyprintk', 'console=ttyS0 earlyprintk'],
    ['earlycon=uart,io,0x3f8', 'console=ttyS0 earlycon=uart,io,0x3f8'],
    [`${BOTH} quiet`, `${BOTH} quiet`],
    // These name neither.
    ['netconsole=@/,@10.0.0.1/', `${BOTH} netconsole=@/,@10.0.0.1/`],
    ['dyndbg="file a console=x" quiet', `${BOTH} dyndbg="file a console=x" quiet`],
    ['ro -- console=mine', `${BOTH} ro -- console=mine`],
  ])('is left out of ours: %s', (given, whole) => {
    const line = withOurWords({ image: LINUX, given });
    expect(line.cmdline).toBe(whole);
    expect(givenPart(line)).toBe(given);
  });
});

describe('a kernel that takes short lines only', () => {
  const short = parseImage(makeBzImage({ fields: { cmdline_size: BOTH.length + 3 } }));
  it('gets our words while they fit', () => {
    expect(lineOf(short, 'ro')).toBe(`${BOTH} ro`);
  });

  it('and else what was given', () => {
    expect(withOurWords({ image: short, given: 'rw é' })).toMatchObject({
      cmdline: 'rw é',
      cmdlineAdded: '',
      leftOut: BOTH,
    });
  });

  it('as does a program whose modules have long texts', () => {
    const modules = [{ bytes: Uint8Array.of(1), text: 'x'.repeat(65_500) }];
    expect(withOurWords({ image: XEN, given: '', modules })).toMatchObject({
      cmdline: '',
      leftOut: expect.stringContaining('com1'),
    });
  });
});

describe("Xen's first domain", () => {
  const modulesOf = (bytes: Uint8Array, given: string, more: Partial<CommandLineRequest> = {}) =>
    withOurWords({ image: XEN, given: '', modules: [{ bytes, text: given }], ...more }).modules?.[0];

  it('gets words of its own where it is Linux, behind the name that Xen takes away', () => {
    expect(modulesOf(BZIMAGE, 'vmlinuz root=/dev/xvda ro')).toMatchObject({
      text: 'vmlinuz earlyprintk=xen console=hvc0 root=/dev/xvda ro',
      added: 'earlyprintk=xen console=hvc0',
    });
  });

  it('but for those that its text settles', () => {
    expect(modulesOf(BZIMAGE, 'vmlinuz console=tty0')?.text).toBe('vmlinuz earlyprintk=xen console=tty0');
  });

  it('and none where it is no Linux, or the first module is the initrd', () => {
    expect(modulesOf(Uint8Array.of(1, 2, 3), 'data')?.text).toBe('data');
    expect(modulesOf(BZIMAGE, 'vmlinuz', { initrd: true })?.text).toBe('vmlinuz');
  });

  it('is no matter of other programs', () => {
    expect(modulesOf(BZIMAGE, 'vmlinuz', { image: program(text('Hermit')) })?.text).toBe('vmlinuz');
  });
});
