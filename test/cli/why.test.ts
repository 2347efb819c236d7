import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readWhyInput, whyUsage } from '../../src/cli/commands/why.ts';
import { readArguments } from '../../src/cli/usage.ts';
import { BAD, endlessImage, firstlight, GOOD, sample } from './fakeIo.ts';

const read = (...args: string[]) => readWhyInput(readArguments(whyUsage, args));

describe('the arguments of firstlight why', () => {
  it('are those of boot', () => {
    expect(read(GOOD, '--load-at', '2M', '--seed', '3')).toMatchObject({
      config: { loadAt: 0x200000, seed: 3, until: 'init' },
      isSample: false,
      symbols: undefined,
    });
  });

  it('stand for the bundled sample where no image is named', () => {
    const { config, isSample } = read();
    expect({ isSample, image: Buffer.from(config.image) }).toEqual({ isSample: true, image: readFileSync(BAD) });
  });

  it('bring the symbols of the sample along', () => {
    expect(read().symbols?.symbols.map(({ name }) => name)).toContain('trampoline_32bit_src');
  });

  it('may name symbols', () => {
    expect(read(BAD, '--symbols', sample('bad.elf')).symbols).toBeDefined();
  });

  it('name a file of symbols that cannot be read', () => {
    expect(() => read(BAD, '--symbols', '/missing')).toThrow("cannot read '/missing': no such file");
  });

  it('allow one image', () => {
    expect(() => read(BAD, GOOD)).toThrow(`one image at a time; '${GOOD}' is one too many`);
  });
});

const why = (...args: string[]) => firstlight(['why', ...args]);

describe('firstlight why without an image', () => {
  it('demonstrates on the sample: the death, the cause with its names, the proof, and that it boots repaired', async () => {
    const { code, stdout, stderr } = await why();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const order = [
      'demonstration on the bundled sample',
      'HOW IT DIED',
      'Nothing had been printed.',
      'CAUSE 1: POSITION-DEPENDENT REFERENCE',
      'mov $0x18040,%rsi      # trampoline_32bit_src',
      'paging_prepare+0x140',
      'at 3 load addresses: proved.',
      'THE REPAIRED IMAGE BOOTS',
    ].map((text) => stdout.indexOf(text));
    expect(order).not.toContain(-1);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  it('ends with 1 where the demonstration does not show what it should', async () => {
    expect(await why('--load-at', '2M', '--max-instructions', '10', '--quiet')).toMatchObject({ code: 1 });
  });
});

describe('firstlight why of an image', () => {
  it('that boots: no finding, 0', async () => {
    const { code, stdout } = await why(GOOD);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /\n\nIt boots and ends by itself: powered off; after [\d,]+ instructions \(.*\), last\sstage: banner\. No finding\.\nTried too: /,
    );
    expect(stdout).not.toContain('CAUSE');
  });

  it('that dies, explained: 1', async () => {
    const { code, stdout } = await why(BAD, '--quiet');
    expect({ code, lines: stdout.trimEnd().split('\n') }).toEqual({
      code: 1,
      lines: [
        expect.stringMatching(/^triple fault: #GP\(0x0\) at 0x9e000/),
        'cause, proved: position-dependent-reference: mov $0x18040,%rsi at file offset 0x1a280',
        expect.stringMatching(/^repaired: powered off; .*last stage: banner$/),
      ],
    });
  });

  it('that does not get there: 3', async () => {
    expect(await why(GOOD, '--max-instructions', '100', '--quiet')).toMatchObject({ code: 3 });
  });

  it('as one JSON object and nothing else', async () => {
    const { code, stdout, stderr } = await why(BAD, '--json', '--symbols', sample('bad.elf'));
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({
      outcome: { kind: 'triple-fault' },
      causes: [{ instruction: { fileOffset: 0x1a280, target: 'trampoline_32bit_src' }, proof: { held: true } }],
      suspicions: [],
      unexplained: null,
      repaired: { outcome: { kind: 'powered-off', stage: 'banner' } },
    });
  });

  it('refuses --paging with the 32-bit entry, and says nothing else', async () => {
    const { code, stdout, stderr } = await why(GOOD, '--entry', '32', '--paging', '4');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^firstlight: --paging is about the 64-bit entry.*\n$/);
  });

  it('colours the report on a terminal only', async () => {
    const ESCAPE = '\x1b[';
    expect((await why(GOOD)).stdout).not.toContain(ESCAPE);
    expect((await firstlight(['why', GOOD], { terminal: true })).stdout).toContain(`${ESCAPE}32mIt boots`);
  });

  it('fits a narrow terminal', async () => {
    const { stdout } = await firstlight(['why', GOOD], { terminal: true, columns: 70, env: { NO_COLOR: '1' } });
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(70);
  });

  it('shows on a terminal what it is doing, and wipes it away', async () => {
    const { stderr } = await firstlight(['why', BAD], { terminal: true });
    expect(stderr).toMatch(/following the constant: [\d,]+ instructions, \d+ M\/s/);
    expect(stderr.endsWith('\r\x1b[K')).toBe(true);
  });
});

describe('firstlight why, interrupted', () => {
  let folder = '';
  let image = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'firstlight-why-'));
    image = join(folder, 'endless');
    writeFileSync(image, endlessImage());
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('ends with 130 at Ctrl-C and says what it was doing', async () => {
    const { code, stderr } = await firstlight(['why', image], { interrupt: true });
    expect(code).toBe(130);
    expect(stderr).toMatch(
      /^firstlight: stopped by Ctrl-C while booting, after [\d,]+ instructions; the answer is not complete\n$/,
    );
  });

  it('prints no half object with --json', async () => {
    expect(await firstlight(['why', image, '--json'], { interrupt: true })).toMatchObject({ code: 130, stdout: '' });
  });

  it('ends with 141, silently, when its output is closed', async () => {
    expect(await firstlight(['why', image], { outputClosed: true })).toMatchObject({ code: 141, stderr: '' });
  });
});
