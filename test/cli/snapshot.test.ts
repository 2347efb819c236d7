// `firstlight boot --save` and `--restore`, with files as users have them.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BootJson } from '../../src/report/json.ts';
import { type FakeOptions, firstlight, GOOD } from './fakeIo.ts';

let folder = '';
const file = (name: string): string => join(folder, name);
const boot = (args: readonly string[], options?: FakeOptions) => firstlight(['boot', ...args], options);
const json = async (args: readonly string[]) => JSON.parse((await boot([...args, '--json'])).stdout) as BootJson;
const MACHINE = ['--memory', '64M', '--append', 'console=ttyS0', '--seed', '5'];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firstlight-snapshot-'));
  mkdirSync(file('folder'));
  await boot([GOOD, ...MACHINE, '--until', 'handoff', '--save', file('saved')]);
});
beforeEach(() => rmSync(file('out'), { recursive: true, force: true }));
afterAll(() => rmSync(folder, { recursive: true }));

describe('a run that was saved where it stopped', () => {
  it('goes on to the same end as one that did not stop, with no option of its machine given again', async () => {
    const whole = await json([GOOD, ...MACHINE, '--until', 'end']);
    expect(await json(['--restore', file('saved')])).toEqual(whole);
  });

  it('prints what the guest prints from there on', async () => {
    const first = await boot([GOOD, ...MACHINE, '--until', 'handoff', '--save', file('out')]);
    const second = await boot(['--restore', file('out'), '--quiet']);
    const whole = await boot([GOOD, ...MACHINE, '--until', 'end', '--quiet']);
    expect(first.stdout + second.stdout).toBe(whole.stdout);
    expect(second.stderr).toBe(whole.stderr);
    expect(second.code).toBe(whole.code);
    expect(first.stderr).toMatch(/firstlight: saved to .*out after 2,\d{3} instructions/);
  });

  it('may stop again, and be saved over itself', async () => {
    writeFileSync(file('out'), readFileSync(file('saved')));
    const { code, stderr } = await boot(['--restore', file('out'), '--until', 'banner', '--save', file('out')]);
    expect([code, stderr]).toEqual([0, expect.stringContaining('going on with bzImage')]);
    expect((await json(['--restore', file('out')])).stateHash).toBe(
      (await json(['--restore', file('saved')])).stateHash,
    );
  });

  it('may have been stopped by the limit of instructions', async () => {
    expect((await boot([GOOD, ...MACHINE, '--max-instructions', '1234', '--save', file('out')])).code).toBe(3);
    expect((await json(['--restore', file('out')])).stateHash).toBe(
      (await json(['--restore', file('saved')])).stateHash,
    );
  });
});

describe('a run that goes on', () => {
  it('shows the text screen where that is wanted', async () => {
    const { code, stderr } = await boot(['--restore', file('saved'), '--until', 'banner', '--screen']);
    expect([code, stderr]).toEqual([0, expect.stringContaining('reached banner')]);
  });
});

describe('a run that is saved on its way', () => {
  it('ends as one that is not, and so does the saved one', async () => {
    const saving = await json([GOOD, ...MACHINE, '--until', 'end', '--save-at', 'decompress', '--save', file('out')]);
    expect(saving).toEqual(await json([GOOD, ...MACHINE, '--until', 'end']));
    expect(await json(['--restore', file('out')])).toEqual(saving);
  });

  it('is not saved where it does not come there', async () => {
    const { stderr } = await boot([GOOD, '--until', 'end', '--save-at', 'init', '--save', file('out')]);
    expect(stderr).toContain('nothing was saved: the run did not come to stage init');
    expect(existsSync(file('out'))).toBe(false);
  });

  it('is not saved where the guest has ended it', async () => {
    const { code, stderr } = await boot([GOOD, '--until', 'end', '--save', file('out')]);
    expect([code, stderr]).toEqual([0, expect.stringContaining('nothing was saved: the guest has ended the run')]);
    expect(existsSync(file('out'))).toBe(false);
  });

  it('leaves nothing behind when Ctrl-C comes while it is written', async () => {
    const { code } = await boot(['--restore', file('saved'), '--until', 'banner', '--save', file('out')], {
      interrupt: true,
    });
    expect([code, existsSync(file('out'))]).toEqual([130, false]);
  });
});

describe('what is refused', () => {
  it.each([
    [['--restore', 'saved', GOOD], '--restore needs no image: it is in the snapshot'],
    [['--restore', 'saved', '--memory', '1G'], '--memory cannot be changed by --restore: it is in the snapshot'],
    [['--restore', 'saved', '--no-apic'], '--no-apic cannot be changed by --restore: it is in the snapshot'],
    [['--restore', 'saved', '--until', 'handoff'], 'the saved run has reached stage handoff already'],
    [[GOOD, '--save-at', 'init'], '--save-at is for --save; without that it has no use'],
    [
      [GOOD, '--save', 'out', '--save-at', 'later'],
      "--save-at: 'later' is none of entry, decompress, handoff, banner, init",
    ],
    [[GOOD, '--save', 'out', '--save-at', 'init'], '--save-at init comes after the end of the run, --until banner'],
    [[GOOD, '--save', 'folder'], "cannot write 'FOLDER/folder': it is a folder"],
    [[GOOD, '--save', ''], "cannot write '': the name is empty"],
    [[GOOD, '--save', GOOD], `cannot write '${GOOD}': it is a file that is read`],
    [[GOOD, '--save', 'saved', '--initrd', 'saved'], "cannot write 'FOLDER/saved': it is a file that is read"],
    [[GOOD, '--save', 'none/out'], "cannot write 'FOLDER/none/out': no such folder"],
    [['--restore', 'none'], "cannot read 'FOLDER/none': no such file"],
    [['--restore', 'folder'], "cannot read 'FOLDER/folder': it is a directory"],
    [['--restore', GOOD], `cannot go on with '${GOOD}': it is no snapshot, or is damaged`],
  ])('%j', async (args, message) => {
    const paths = args.map((arg) => (/^(?:saved|out|none|folder)/.test(arg) ? file(arg) : arg));
    const { code, stdout, stderr } = await boot(paths);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`firstlight: ${message.replace('FOLDER', folder)}`);
    expect(stderr.trimEnd()).not.toContain('\n');
  });

  it.each([
    ['a file cut short', (): void => truncateSync(file('out'), 5000), 'it ends too early'],
    [
      'gzip of something else',
      (): void => writeFileSync(file('out'), gzipSync('what else there is in the world')),
      'it is no snapshot',
    ],
    ['a damaged one', (): void => writeFileSync(file('out'), damaged()), 'its checksum is wrong: it is damaged'],
  ])('%s', async (_what, spoil, message) => {
    writeFileSync(file('out'), readFileSync(file('saved')));
    spoil();
    const { code, stderr } = await boot(['--restore', file('out')]);
    expect([code, stderr]).toEqual([2, `firstlight: cannot go on with '${file('out')}': ${message}\n`]);
  });
});

/** A bit of RAM is another. */
function damaged(): Uint8Array {
  const bytes = gunzipSync(readFileSync(file('saved')));
  bytes[bytes.length - 100] = (bytes.at(-100) as number) ^ 1;
  return gzipSync(bytes);
}
