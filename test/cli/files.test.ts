import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { aboutFile, readInput } from '../../src/cli/files.ts';
import { firstlight, GOOD } from './fakeIo.ts';

describe('input files', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'firstlight-files-'));
    writeFileSync(join(folder, 'ten'), '0123456789');
    writeFileSync(join(folder, 'empty'), '');
    symlinkSync('loop', join(folder, 'loop'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const refusal = (name: string, limit = 100): string => {
    try {
      readInput(join(folder, name), limit, 'there may be');
    } catch (error) {
      if (error instanceof InputError) return error.message.replaceAll(folder, '');
      throw error;
    }
    return 'read';
  };

  it('are read up to the limit', () => {
    expect(readInput(join(folder, 'ten'), 10, 'there may be')).toHaveLength(10);
  });

  it.each([
    ['missing', "cannot read '/missing': no such file"],
    ['ten/inside', "cannot read '/ten/inside': no such file"],
    ['.', "cannot read '': it is a directory"],
    ['loop', "cannot read '/loop': too many symbolic links"],
  ])('that cannot be read are named: %s', (name, message) => {
    expect(refusal(name)).toBe(message);
  });

  it('with a name that is too long are refused', () => {
    expect(refusal('x'.repeat(300))).toMatch(/^cannot read '\/x+': the name is too long$/);
  });

  it('that are too large are refused', () => {
    expect(refusal('ten', 8)).toBe("cannot use '/ten': its 10 bytes are more than there may be, 8 bytes");
  });

  it('must be files, not devices that never end', () => {
    expect(() => readInput('/dev/zero', 100, 'there may be')).toThrow(
      "cannot read '/dev/zero': it is a character device, no file",
    );
  });

  it('of the command line end in one line and exit code 2', async () => {
    const ten = join(folder, 'ten');
    const empty = join(folder, 'empty');
    const calls: [string[], string][] = [
      [[join(folder, 'missing')], `cannot read '${folder}/missing': no such file`],
      [[folder], `cannot read '${folder}': it is a directory`],
      [[empty], `cannot boot '${empty}': this is an empty file; Firstlight boots kernels for x86`],
      [
        [ten],
        `cannot boot '${ten}': this is not a kernel: 10 bytes are too few to hold a setup header; Firstlight boots kernels for x86`,
      ],
      [[GOOD, '--initrd', folder], `cannot read '${folder}': it is a directory`],
      [[GOOD, '--initrd', empty], 'the initrd is empty'],
      [
        [GOOD, '--initrd', GOOD, '--memory', '64K'],
        `cannot use '${GOOD}': its 108 KiB are more than the guest has RAM, 64 KiB`,
      ],
      [[GOOD, '--cpu', '486'], 'unknown CPU model "486": known are x86-64-v1, x86-64-v2, x86-64-v3, max'],
      [[GOOD, '--cpu', 'x86-64-v1', '--paging', '5'], "--paging 5 needs a CPU with la57, which 'x86-64-v1' has not"],
      [[GOOD, '--cpu', 'max,-lm'], "the 64-bit entry needs a CPU with lm, which 'max,-lm' has not"],
    ];
    for (const [args, message] of calls) {
      expect(await firstlight(['boot', ...args])).toMatchObject({
        code: 2,
        stdout: '',
        stderr: `firstlight: ${message}\n`,
      });
    }
  });

  it('with line ends in their names do not break the line', async () => {
    const { stderr } = await firstlight(['boot', 'a\nb']);
    expect(stderr).toBe("firstlight: cannot read 'a b': no such file\n");
  });

  it.each([
    ['\x1b[31mred', '\\x1b[31mred'],
    ['\x9b31m\u202e', '\\x9b31m\\u202e'],
  ])('with control characters in their names reach no terminal: %j', async (name, seen) => {
    const calls = [
      ['boot', name],
      [name],
      ['boot', `--${name}`],
      ['audit', name],
      ['info', name],
      ['boot', GOOD, '--cpu', name],
    ];
    for (const args of calls) {
      const { code, stdout, stderr } = await firstlight(args);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toContain(seen);
      expect(stderr).toMatch(/^[\x20-\x7e]+\n$/);
    }
  });

  it('stay the same in JSON, without a raw control character', async () => {
    const path = join(folder, 'a\x9b\x7f\u202eb');
    copyFileSync(GOOD, path);
    const { stdout } = await firstlight(['info', path, '--header-only', '--json']);
    expect((JSON.parse(stdout) as { name: string }).name).toBe(path);
    expect(stdout).toMatch(/^[\x20-\x7e\n]+$/);
  });

  it('are named once in a refusal', async () => {
    const archive = join(folder, 'lib.a');
    writeFileSync(archive, '!<arch>\n');
    const { code, stderr } = await firstlight(['audit', archive]);
    expect([code, stderr]).toEqual([2, `firstlight: cannot audit '${archive}': it holds no object files\n`]);
  });

  it.each([
    ['a holds nothing', "cannot use 'a': it holds nothing"],
    ["'a' is empty", "cannot use 'a': it is empty"],
    ['a: a table is missing', "cannot use 'a': a table is missing"],
    ['a(b.o) is no object', "cannot use 'a': (b.o) is no object"],
    ['about nothing', "cannot use 'a': about nothing"],
  ])('are not named again by the reason "%s"', (reason, message) => {
    expect(aboutFile('cannot use', 'a', reason).message).toBe(message);
  });
});
