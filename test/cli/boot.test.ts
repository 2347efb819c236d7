import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { putHeaderField } from '../../src/image/setup-header.ts';
import { BAD, firstlight, GOOD } from './fakeIo.ts';

const boot = (...args: string[]) => firstlight(['boot', ...args]);
const GUEST_SAYS = /^Firstlight sample stub, loaded at 0x1000000, [^]*\n[^]*Linux version/;

describe('firstlight boot of a healthy image', () => {
  it('streams the console to stdout and says on stderr how it goes', async () => {
    const { code, stdout, stderr } = await boot(GOOD);
    expect(code).toBe(0);
    expect(stdout).toMatch(GUEST_SAYS);
    const lines = stderr.trimEnd().split('\n');
    expect(lines[0]).toMatch(
      /^firstlight: booting bzImage 0\.0\.0-sample \(boot protocol 2\.15\), loaded at 0x1000000, 64-bit/,
    );
    expect(lines[1]).toBe('firstlight: stage entry after 0 instructions (0 ns of guest time)');
    expect(lines.at(-2)).toMatch(/^firstlight: stage banner after [\d,]+ instructions/);
    expect(lines.at(-1)).toMatch(/^firstlight: reached banner after [\d,]+ instructions/);
  });

  it('names the stages in the middle of the console where both are one', async () => {
    const { both } = await firstlight(['boot', GOOD], { sameOutput: true });
    expect(both).toMatch(/\nFirstlight sample kernel, .*Linux version[^\n]*\n+firstlight: stage banner/);
    expect(both.indexOf('firstlight: stage entry')).toBeLessThan(both.indexOf('Firstlight sample stub'));
  });

  it('--quiet says nothing of a run that ends as asked', async () => {
    const { code, stdout, stderr } = await boot(GOOD, '--quiet');
    expect(code).toBe(0);
    expect(stdout).toMatch(GUEST_SAYS);
    expect(stderr).toBe('');
  });

  it('--until entry stops before the first instruction', async () => {
    const { code, stdout, stderr } = await boot(GOOD, '--until', 'entry');
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toContain('\nfirstlight: reached entry after 0 instructions (0 ns of guest time)\n');
  });

  it('--json prints one object and nothing else', async () => {
    const { code, stdout, stderr } = await boot(
      GOOD,
      '--json',
      '--seed',
      '7',
      '--memory',
      '256M',
      '--append',
      'quiet "é"',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const object = JSON.parse(stdout) as Record<string, unknown>;
    expect(Object.keys(object)).toEqual([
      ...['outcome', 'stages', 'stateHash', 'machine', 'unimplemented', 'console', 'run', 'screen'],
    ]);
    expect(object).toMatchObject({
      outcome: { kind: 'stage-reached', stage: 'banner' },
      machine: { cpu: 'max', memoryBytes: 0x10000000, seed: 7, entry: 64, paging: 4 },
      console: expect.stringMatching(GUEST_SAYS),
    });
  });

  const WORDS = 'earlyprintk=serial,ttyS0,115200 console=ttyS0';

  it('puts words before the command line that make it speak, and says which', async () => {
    const { stderr } = await boot(GOOD, '--append', 'quiet "é"');
    expect(stderr).toMatch(new RegExp(`^firstlight: booting .*; added to the command line: ${WORDS}\n`));
    expect(JSON.parse((await boot(GOOD, '--append', 'quiet "é"', '--json')).stdout)).toMatchObject({
      machine: {
        cmdline: `${WORDS} quiet "é"`,
        commandLine: { given: 'quiet "é"', added: WORDS, whole: `${WORDS} quiet "é"` },
      },
    });
  });

  it('puts none there with --no-default-append, and says nothing of it', async () => {
    const { stderr } = await boot(GOOD, '--append', 'quiet', '--no-default-append');
    expect(stderr).not.toContain('command line');
    const { stdout } = await boot(GOOD, '--append', 'quiet', '--no-default-append', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      machine: { cmdline: 'quiet', commandLine: { given: 'quiet', added: '', whole: 'quiet' } },
    });
  });

  it('is the same run as with the whole line given', async () => {
    const hash = async (...args: string[]): Promise<unknown> =>
      (JSON.parse((await boot(GOOD, '--json', ...args)).stdout) as { stateHash: unknown }).stateHash;
    expect(await hash('--append', 'quiet')).toBe(await hash('--append', `${WORDS} quiet`, '--no-default-append'));
    expect(await hash('--append', `${WORDS} quiet`)).toBe(await hash('--append', 'quiet'));
  });

  it('boots a kernel that takes short lines only, and says what it did not add', async () => {
    const image = new Uint8Array(readFileSync(GOOD));
    putHeaderField(image, 'cmdline_size', 40);
    const path = join(mkdtempSync(join(tmpdir(), 'firstlight-')), 'short');
    writeFileSync(path, image);
    const { code, stderr } = await boot(path, '--append', 'quiet');
    expect(code).toBe(0);
    expect(stderr).toContain(`; not added to the command line, which has no room for it: ${WORDS}\n`);
    rmSync(dirname(path), { recursive: true });
  });

  it('is the same run twice', async () => {
    expect((await boot(GOOD, '--json')).stdout).toBe((await boot(GOOD, '--json')).stdout);
  });

  it.each([
    [['--entry', '32'], { entry: 32, paging: null }],
    [['--paging', '5'], { entry: 64, paging: 5 }],
    [['--cpu', 'x86-64-v1'], { cpu: 'x86-64-v1' }],
    [['--load-at', '4G', '--memory', '6G'], { loadAddress: '0x100000000' }],
    [['--load-at', '1M'], { loadAddress: '0x100000' }],
    [['--initrd', BAD], { initrdBytes: readFileSync(BAD).length }],
  ])('boots with %j', async (args, machine) => {
    const { code, stdout } = await boot(GOOD, '--json', ...args);
    expect({ code, result: JSON.parse(stdout) }).toMatchObject({ code: 0, result: { machine } });
  });
});

describe('firstlight boot of an image that dies', () => {
  it('says how: the first exception and the chain to the reset, and that nothing was printed', async () => {
    const { code, stdout, stderr } = await boot(BAD);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^firstlight: triple fault: #\w+.* at 0x9e000; after [\d,]+ instructions .*, last stage: entry$/m,
    );
    expect(stderr).toMatch(/^firstlight: {3}-> #GP\(0x\w+\) while that was delivered: IDT limit 0x0: no gate \d+$/m);
    expect(stderr).toContain('firstlight:   -> #DF(0x0), the double fault\n');
    expect(stderr).toContain(
      'firstlight:   -> shutdown; a PC resets\nfirstlight: nothing was printed on the console\n',
    );
  });

  it('--quiet says it in one line', async () => {
    expect((await boot(BAD, '--quiet')).stderr).toMatch(/^firstlight: triple fault: [^\n]*\n$/);
  });

  it('--json has the chain', async () => {
    const { code, stdout } = await boot(BAD, '--json');
    expect({ code, result: JSON.parse(stdout) }).toMatchObject({
      code: 1,
      result: {
        outcome: {
          kind: 'triple-fault',
          stage: 'entry',
          chain: [{ rip: '0x9e000' }, { vector: 8, name: '#DF', error: '0x0' }],
        },
        console: '',
      },
    });
  });
});

describe('firstlight boot', () => {
  it('ends with 3 at the instruction limit', async () => {
    const { code, stderr } = await boot(GOOD, '--max-instructions', '100');
    expect(code).toBe(3);
    expect(stderr).toMatch(/^firstlight: instruction limit reached, at 0x1\w+; after 100 instructions \(\d+ ns/m);
    expect(stderr).toContain('--max-instructions');
  });
});
