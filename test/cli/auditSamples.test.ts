// The command with the audit behind it, on the bundled pair: samples/README.md.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { objectBytes } from '../audit/objects/matrix.ts';
import { BAD, firstlight, GOOD, sample } from './fakeIo.ts';

const audit = (...args: string[]) => firstlight(['audit', ...args]);

describe('firstlight audit of the bundled pair', () => {
  it('names the one instruction of the bad image', async () => {
    const { code, stdout, stderr } = await audit(BAD, '--json');
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    const { findings } = JSON.parse(stdout) as { findings: unknown[] };
    expect(findings).toEqual([
      expect.objectContaining({
        file: BAD,
        rule: 'position-dependent-reference',
        fileOffset: 0x1a280,
        linkAddress: '0x18280',
        bytes: '48 c7 c6 40 80 01 00',
        repair: expect.objectContaining({ bytes: '48 8d 35 b9 fd ff ff' }) as unknown,
      }),
    ]);
  });

  it('names it with its symbols', async () => {
    const { stdout } = await audit(BAD, '--symbols', sample('bad.elf'));
    expect(stdout).toContain('mov $0x18040,%rsi');
    expect(stdout).toContain('trampoline_32bit_src');
    expect(stdout).toMatch(/\n\n1 finding in 1 file\.\n$/);
  });

  it('finds nothing in the good image', async () => {
    const { code, stdout } = await audit(GOOD);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\n\nNo findings in 1 file\.\n$/);
  });

  it('finds the same in the ELF file of the bad stub, and nothing in that of the good one', async () => {
    const { code, stdout } = await audit(sample('bad.elf'), '--quiet');
    expect(code).toBe(1);
    expect(stdout.match(/position-dependent-reference: .*/g)).toEqual([
      expect.stringMatching(/: mov \$0x18040,%rsi at file offset 0x3280 in paging_prepare/) as unknown,
    ]);
    expect(await audit(sample('good.elf'), '--quiet')).toMatchObject({ code: 0, stdout: 'No findings in 1 file.\n' });
  });
});

describe('firstlight audit of a thin archive', () => {
  const OBJECT = 'mov-32s.other-function.o';
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'firstlight-thin-'));
    mkdirSync(join(folder, 'sub'));
    const names = `sub/${OBJECT}/\n`;
    const header = (name: string, size: number): string =>
      `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'644'.padEnd(8)}${String(size).padEnd(10)}\`\n`;
    // As `ar cDPrST` writes it: the table of names, and a header for each member.
    const archive = `!<thin>\n${header('//', names.length)}${names}${names.length % 2 === 1 ? '\n' : ''}${header('/0', 9999)}`;
    writeFileSync(join(folder, 'lib.a'), archive, 'latin1');
    writeFileSync(join(folder, 'sub', OBJECT), objectBytes('rows', OBJECT));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('reads its members from beside it', async () => {
    const { code, stdout, stderr } = await audit(join(folder, 'lib.a'), '--quiet');
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(stdout).toContain(`lib.a(sub/${OBJECT})`);
  });

  it('says in one line which is not there', async () => {
    rmSync(join(folder, 'sub', OBJECT));
    const { code, stderr } = await audit(join(folder, 'lib.a'));
    expect(code).toBe(2);
    expect(stderr).toMatch(/^firstlight: [^\n]*sub\/mov-32s\.other-function\.o'?: no such file\n$/);
  });
});
