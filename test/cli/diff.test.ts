import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BAD, firstlight, GOOD, sample } from './fakeIo.ts';

const diff = (...args: string[]) => firstlight(['diff', ...args]);

let folder = '';
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'firstlight-diff-'))));
afterAll(() => rmSync(folder, { recursive: true }));

describe('firstlight diff', () => {
  it('shows the one instruction of the bundled pair, and ends with 1', async () => {
    const { code, stdout, stderr } = await diff(GOOD, BAD, '--symbols-good', sample('good.elf'));
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(stdout).toMatch(/^ {3}18280 {2}lea -0x247\(%rip\),%rsi {2,}! 18280 {2}mov \$0x18040,%rsi/m);
    expect(stdout).toMatch(/^1\. paging_prepare \(GOOD 0x18140, BAD 0x18140\)/m);
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('1 function of 16 differs.');
  });

  it('ends with 0 where nothing differs in meaning', async () => {
    const { code, stdout } = await diff(GOOD, sample('good.elf'), '--quiet');
    expect(code).toBe(0);
    expect(stdout).toBe(
      'None of 16 functions differs in meaning; 79 bytes of code in BAD are reached by no control flow and no symbol, and were not compared.\n',
    );
  });

  it('prints one JSON object', async () => {
    const { code, stdout } = await diff(sample('good.elf'), sample('bad.elf'), '--json', '--context', '0');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      summary: { matched: 16, differing: 1, onlyGood: 0, onlyBad: 0 },
      differing: [{ good: { name: 'paging_prepare' }, hunks: [[{ kind: 'addressing-mode-of-same-target' }]] }],
    });
  });

  it('shows as many equal instructions around as asked for', async () => {
    const rows = async (context: string) =>
      (await diff(GOOD, BAD, '--context', context)).stdout.split('\n').filter((row) => /^ {3}18[0-9a-f]{3} /.test(row));
    expect((await rows('0')).length).toBe(1);
    expect((await rows('2')).length).toBe(5);
  });

  it('is coloured on a terminal only, and as wide as that', async () => {
    const wide = await firstlight(['diff', GOOD, BAD], { terminal: true, columns: 140 });
    expect(wide.stdout).toContain('\x1b[31m');
    expect(wide.stdout).toMatch(/GOOD {66,}BAD/);
    expect((await diff(GOOD, BAD)).stdout).not.toContain('\x1b');
  });

  it('ends with 2 and one line where a file cannot be used', async () => {
    const text = join(folder, 'text');
    writeFileSync(text, 'no kernel');
    const { code, stdout, stderr } = await diff(GOOD, text);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^firstlight: cannot use BAD: .*\n$/);
  });

  it.each([
    [[], 'two files are needed, GOOD and BAD'],
    [[GOOD], 'two files are needed, GOOD and BAD'],
    [[GOOD, BAD, GOOD], `two files at a time; '${GOOD}' is one too many`],
    [[GOOD, BAD, '--context', 'some'], "--context: 'some' is no whole number from 0 to 2^53-1"],
    [[GOOD, '/missing'], "cannot read '/missing': no such file"],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await diff(...args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
