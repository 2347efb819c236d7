import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { damagedImage, gzipped, makeImage, makeKernel, makeStub } from '../audit/imageParts.ts';
import { makeBzImage } from '../image/synthetic.ts';
import { type FakeOptions, firstlight, sample } from './fakeIo.ts';

let folder = '';
const file = (name: string): string => join(folder, name);
const KERNEL = Buffer.from(makeKernel());
const kernelText = KERNEL.toString('latin1');
const extract = (args: readonly string[], options?: FakeOptions) => firstlight(['extract', ...args], options);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'firstlight-extract-'));
  writeFileSync(file('bzImage'), makeImage());
  writeFileSync(file('damaged'), damagedImage());
  writeFileSync(file('vmlinux'), KERNEL);
  writeFileSync(file('none'), makeBzImage({ fields: { payload_offset: 0, payload_length: 0 } }));
  writeFileSync(file('odd'), makeImage(Uint8Array.of(1, 2, 3, 4)));
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  rmSync(file('out'), { recursive: true, force: true });
  mkdirSync(file('out'));
});

describe('firstlight extract', () => {
  it('writes the kernel byte for byte', async () => {
    const said = await extract([file('bzImage'), '--to', file('out/vmlinux')]);
    expect(said).toMatchObject({ code: 0, stdout: '' });
    expect(said.stderr).toMatch(
      /^firstlight: wrote '.*out\/vmlinux': [\d,]+ bytes, an ELF file, unpacked from [\d,]+ bytes of gzip\n$/,
    );
    expect(readFileSync(file('out/vmlinux')).equals(KERNEL)).toBe(true);
    expect(readdirSync(file('out'))).toEqual(['vmlinux']);
  });

  it('overwrites an older file, and leaves its permissions', async () => {
    writeFileSync(file('out/vmlinux'), 'old');
    chmodSync(file('out/vmlinux'), 0o640);
    expect(await extract([file('bzImage'), '--to', file('out/vmlinux')])).toMatchObject({ code: 0 });
    expect(readFileSync(file('out/vmlinux')).equals(KERNEL)).toBe(true);
    expect(statSync(file('out/vmlinux')).mode & 0o777).toBe(0o640);
  });

  it('writes what a symbolic link names, and leaves the link', async () => {
    writeFileSync(file('out/real'), 'old');
    symlinkSync('real', file('out/link'));
    expect(await extract([file('bzImage'), '--to', file('out/link')])).toMatchObject({ code: 0 });
    expect(readFileSync(file('out/real')).equals(KERNEL)).toBe(true);
    expect(readdirSync(file('out')).sort()).toEqual(['link', 'real']);
  });

  it('writes to stdout for -', async () => {
    const said = await extract([file('bzImage'), '--to', '-']);
    expect(said.code).toBe(0);
    expect(said.stdout === kernelText).toBe(true);
    expect(said.stderr).toMatch(/^firstlight: wrote the kernel: /);
  });

  it('does not write a kernel to a terminal', async () => {
    const said = await extract([file('bzImage'), '--to', '-'], { terminal: true });
    expect(said).toMatchObject({ code: 2, stdout: '' });
    expect(said.stderr).toContain('a kernel is not written to a terminal; name a file');
  });

  it('leaves nothing behind when it is stopped by Ctrl-C', async () => {
    const said = await extract([file('bzImage'), '--to', file('out/vmlinux')], { interrupt: true });
    expect(said).toMatchObject({ code: 130, stdout: '' });
    expect(said.stderr).toMatch(/^firstlight: stopped by Ctrl-C; '.*' was not written\n$/);
    expect(readdirSync(file('out'))).toEqual([]);
  });

  it('says nothing more to a reader that has gone', async () => {
    const said = await extract([file('bzImage'), '--to', '-'], { outputClosed: true });
    expect(said).toMatchObject({ code: 141, stderr: '' });
  });

  it('does not overwrite the image it reads', async () => {
    const before = readFileSync(file('bzImage'));
    symlinkSync(file('bzImage'), file('out/link'));
    const said = await extract([file('bzImage'), '--to', file('out/link')]);
    expect(said).toMatchObject({ code: 2 });
    expect(said.stderr).toMatch(/^firstlight: cannot write '.*': it is the file that is read\n$/);
    expect(readFileSync(file('bzImage')).equals(before)).toBe(true);
  });

  it.each([
    ['out', 'it is a folder'],
    ['missing/vmlinux', 'no such folder'],
    ['bzImage/vmlinux', 'no such folder'],
    [`out/${'x'.repeat(300)}`, 'the name is too long'],
  ])('says in a line why it cannot write to %s', async (to, reason) => {
    expect(await extract([file('bzImage'), '--to', file(to)])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: `firstlight: cannot write '${file(to)}': ${reason}\n`,
    });
  });

  it.skipIf(process.getuid?.() === 0)('does not replace a file that may not be written', async () => {
    writeFileSync(file('out/vmlinux'), 'old');
    chmodSync(file('out/vmlinux'), 0o400);
    const said = await extract([file('bzImage'), '--to', file('out/vmlinux')]);
    expect(said.stderr).toMatch(/: permission denied\n$/);
    expect(readFileSync(file('out/vmlinux'), 'utf8')).toBe('old');
  });

  it.runIf(existsSync('/dev/full'))('says that a device is full', async () => {
    const said = await extract([file('bzImage'), '--to', '/dev/full']);
    expect(said).toMatchObject({ code: 2, stderr: "firstlight: cannot write '/dev/full': no space left\n" });
    expect(statSync('/dev/full').isFile()).toBe(false);
  });

  it.each([
    ['damaged', /: the gzip data /],
    ['vmlinux', /: this is a kernel already, not packed\n$/],
    ['none', /: its header names no payload /],
    ['odd', /: the payload is packed in no format that is known here; it begins with 01 02 03 04\n$/],
  ])('refuses an image that has none to unpack: %s', async (name, message) => {
    const said = await extract([file(name), '--to', file('out/vmlinux')]);
    expect(said).toMatchObject({ code: 2, stdout: '' });
    expect(said.stderr).toMatch(message);
    expect(said.stderr).toContain(`firstlight: cannot extract from '${file(name)}'`);
    expect(said.stderr.split('\n')).toHaveLength(2);
    expect(readdirSync(file('out'))).toEqual([]);
  });

  it('unpacks what a stub holds', async () => {
    writeFileSync(file('out/stub'), makeStub(gzipped(KERNEL)));
    expect(await extract([file('out/stub'), '--to', file('out/vmlinux')])).toMatchObject({ code: 0 });
    expect(readFileSync(file('out/vmlinux')).equals(KERNEL)).toBe(true);
  });

  it('refuses the stub of the samples, which has no kernel', async () => {
    const said = await extract([sample('good.elf'), '--to', file('out/vmlinux')]);
    expect(said.stderr).toMatch(/: this ELF file holds no packed kernel\n$/);
  });

  it.each([
    [[], 'no image given'],
    [['x'], '--to FILE is missing: where the kernel is to be written'],
    [['x', 'y', '--to', 'z'], "one image at a time; 'y' is one too many"],
  ])('refuses as bad usage: %j', async (args, message) => {
    const { code, stderr } = await extract(args);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `firstlight: ${message} (see 'firstlight extract --help')\n`,
    });
  });
});
