// The built program as a process of its own, through the launcher: what only a real process shows.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BAD, endlessImage, firstlight, GOOD } from './fakeIo.ts';

const launcher = fileURLToPath(new URL('../../firstlight', import.meta.url));

const spawned = (command: string, args: readonly string[]) => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'latin1' });
  return { code: status, stdout, stderr };
};

describe('./firstlight boot', () => {
  // Builds, and says so, where the sources are newer than the last build.
  beforeAll(() => void spawned(launcher, ['--version']));

  it('does in a process of its own what it does in this one', async () => {
    const here = await firstlight(['boot', GOOD, '--json']);
    expect(spawned(launcher, ['boot', GOOD, '--json'])).toEqual({ code: 0, stdout: here.stdout, stderr: '' });
  });

  it('ends with 1 when the guest dies', () => {
    expect(spawned(launcher, ['boot', BAD, '--quiet'])).toMatchObject({ code: 1, stdout: '' });
  });

  it.each([
    ['help', `"$0" --help | true`],
    ['a boot', `"$0" boot "$1" 2>&1 | head -c 1`],
    ['an object', `"$0" boot "$1" --json | head -c 1`],
  ])('says nothing when whoever reads its output goes away: %s', (_name, script) => {
    const { stderr, stdout } = spawned('sh', ['-c', script, launcher, GOOD]);
    expect(stderr).toBe('');
    expect(stdout.length).toBeLessThan(2);
  });

  // Only Linux has a device that is always full.
  it.runIf(existsSync('/dev/full'))('says in one line that its output cannot be written', () => {
    const { code, stderr } = spawned('sh', ['-c', `"$0" boot "$1" --json >/dev/full`, launcher, GOOD]);
    expect([code, stderr]).toEqual([2, 'firstlight: cannot write to standard output: no space left\n']);
  });

  it('finishes the line of the console before it says the outcome in the same place', () => {
    const { stdout } = spawned('sh', ['-c', `"$0" boot "$1" 2>&1`, launcher, GOOD]);
    expect(stdout).toMatch(
      /Linux version[^\n]*\nfirstlight: stage banner[^\n]*\nfirstlight: reached banner after [^\n]*\n$/,
    );
  });
});

/** Starts a process, sends it a signal once `when` has been seen on stderr, and waits for its end. */
const signalled = (args: readonly string[], signal: NodeJS.Signals, when: RegExp) =>
  new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    const child = spawn(launcher, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr, sent] = ['', '', false];
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString('latin1')));
    child.stderr.on('data', (data: Buffer) => {
      stderr += data.toString('latin1');
      if (!sent && when.test(stderr)) sent = child.kill(signal);
    });
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });

describe('a signal', () => {
  const folder = mkdtempSync(join(tmpdir(), 'firstlight-process-'));
  const endless = join(folder, 'endless');
  beforeAll(() => writeFileSync(endless, endlessImage()));
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([
    ['SIGINT', 'Ctrl-C', 130],
    ['SIGTERM', 'SIGTERM', 143],
    ['SIGHUP', 'SIGHUP', 129],
  ] as const)('%s ends a boot with a line that says what was going on', async (signal, name, code) => {
    const ended = await signalled(['boot', endless, '--max-instructions', '20G'], signal, /stage entry/);
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(ended.stderr).toMatch(new RegExp(`firstlight: stopped by ${name} after [^\n]*, last stage: entry\n$`));
  });
});

describe('standard input', () => {
  const piped = (script: string, ...args: string[]) => spawned('sh', ['-c', script, launcher, ...args]);

  it('is a file like any other under the name -', async () => {
    const { stdout } = await firstlight(['boot', GOOD, '--json']);
    expect(piped(`cat "$1" | "$0" boot - --json`, GOOD)).toEqual({ code: 0, stdout, stderr: '' });
  });

  it('can be read once', () => {
    const { code, stderr } = piped(`cat "$1" | "$0" diff - -`, GOOD);
    expect([code, stderr]).toEqual([2, "firstlight: cannot read '-' again: standard input is one file\n"]);
  });

  it('is read to its bound and no further', () => {
    const { code, stderr } = piped(`cat /dev/zero | "$0" boot "$1" --initrd - --memory 8M`, GOOD);
    expect([code, stderr]).toEqual([2, "firstlight: cannot use '-': it has more than the guest has RAM, 8 MiB\n"]);
  });

  it('is no disk', () => {
    const { code, stderr } = piped(`cat "$1" | "$0" boot "$1" --disk -`, GOOD);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^firstlight: cannot use '-' as a disk: [^\n]*\n$/)]);
  });
});

describe('a named pipe', () => {
  it('is read as it comes, and bounded', () => {
    const script = `d=$(mktemp -d); mkfifo $d/p; cat "$1" >$d/p & "$0" info $d/p --header-only >/dev/null; r=$?; rm -r $d; exit $r`;
    expect(spawned('sh', ['-c', script, launcher, GOOD])).toMatchObject({ code: 0, stderr: '' });
  });
});
