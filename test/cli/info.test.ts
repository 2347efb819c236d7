import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { infoUsage } from '../../src/cli/commands/info.ts';
import { systemMapSymbols } from '../../src/image/symbols.ts';
import { CONFIG, damagedImage, makeImage, SYMBOLS } from '../audit/imageParts.ts';
import { type FakeOptions, firstlight, GOOD, sample } from './fakeIo.ts';

let folder = '';
const file = (name: string): string => join(folder, name);
const info = (args: readonly string[], options?: FakeOptions) => firstlight(['info', ...args], options);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'firstlight-info-'));
  writeFileSync(file('bzImage'), makeImage());
  writeFileSync(file('damaged'), damagedImage());
  writeFileSync(file('text'), 'x'.repeat(1000));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('firstlight info', () => {
  it('prints a report', async () => {
    const said = await info([file('bzImage')]);
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(said.stdout.startsWith(`${file('bzImage')}\n  bzImage (boot protocol 2.15)`)).toBe(true);
    expect(said.stdout).toContain('Linux version 6.1.0-test');
  });

  it('prints an object with --json', async () => {
    const said = await info([file('bzImage'), '--json']);
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(said.stdout)).toMatchObject({ name: file('bzImage'), kernel: { symbols: [{ count: 1100 }] } });
  });

  it('leaves the kernel packed with --header-only', async () => {
    const said = await info([file('damaged'), '--header-only']);
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(said.stdout).toContain('The payload was left packed');
  });

  it('writes symbols that it can read itself', async () => {
    const said = await info([file('bzImage'), '--symbols-to', file('map')]);
    expect(said).toMatchObject({ code: 0, stderr: `firstlight: wrote '${file('map')}': 1,100 symbols\n` });
    const text = readFileSync(file('map'), 'utf8');
    expect(text.split('\n')).toHaveLength(SYMBOLS.length + 1);
    expect(text).toMatch(/^ffffffff81000000 T _stext\nffffffff81000000 T startup_64\n/);
    expect(systemMapSymbols(text).symbols.some(({ name }) => name === 'start_kernel')).toBe(true);
  });

  it('writes the symbols of a stub', async () => {
    const said = await info([sample('good.elf'), '--symbols-to', file('stub.map')]);
    expect(said.code).toBe(0);
    expect(readFileSync(file('stub.map'), 'utf8')).toMatch(/^0000000000000200 T startup_64$/m);
  });

  it('writes the configuration', async () => {
    const said = await info([file('bzImage'), '--json', '--config-to', file('config')]);
    expect(said).toMatchObject({ code: 0, stderr: `firstlight: wrote '${file('config')}': 4 options\n` });
    expect(readFileSync(file('config'), 'utf8')).toBe(CONFIG);
  });

  it('shows what can be read of a damaged image, and ends with 2', async () => {
    const said = await info([file('damaged')]);
    expect(said.code).toBe(2);
    expect(said.stdout).toContain('Setup header');
    expect(said.stderr).toMatch(/^firstlight: cannot read all of '.*damaged': the gzip data [^\n]+\n$/);
  });

  it('shows the samples, whose payload is no packed kernel', async () => {
    expect(await info([GOOD])).toMatchObject({ code: 0, stderr: '' });
  });

  it.each([
    ['text', [], /: cannot read '.*text': this is not a kernel: /],
    ['missing', [], /: cannot read '.*missing': no such file\n$/],
    ['damaged', ['--symbols-to', '/dev/null'], /damaged' holds no symbols that could be written: the gzip data /],
    ['bzImage', ['--symbols-to', '/nowhere/map'], /: cannot write '\/nowhere\/map': no such folder\n$/],
  ])('ends in one line for what cannot be done: %s %j', async (name, args, message) => {
    const said = await info([file(name), ...args]);
    expect(said.code).toBe(2);
    expect(said.stderr).toMatch(message);
    expect(said.stderr.split('\n')).toHaveLength(2);
  });

  it('leaves nothing on a terminal but the report', async () => {
    const said = await info([file('bzImage')], { terminal: true, env: { NO_COLOR: '1' } });
    expect(said.stderr).toMatch(/^\runpacking and reading the kernel \.\.\./);
    // With NO_COLOR no control sequence is written: the line goes by being written over with spaces.
    expect(said.stderr).not.toContain('\x1b');
    expect(said.stderr.split('\r').at(-1)).toMatch(/^ *$/);
  });
});

describe('the arguments of firstlight info', () => {
  it.each([
    [[], 'no image given'],
    [['x', 'y'], "one image at a time; 'y' is one too many"],
    [['x', '--header-only', '--config-to', 'y'], '--header-only and --config-to exclude each other'],
  ])('refused as bad usage: %j', async (args, message) => {
    const { code, stderr } = await info(args);
    expect({ code, stderr }).toEqual({ code: 2, stderr: `firstlight: ${message} (see 'firstlight info --help')\n` });
  });

  it('are explained by --help', async () => {
    const { stdout } = await info(['--help']);
    for (const { name } of infoUsage.options) expect(stdout).toMatch(new RegExp(`^ {2}--${name}\\b.*\\n {6}\\S`, 'm'));
  });
});
