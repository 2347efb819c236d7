// The built program as a process of its own, through the launcher: what only a real process shows.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { BAD, firstlight, GOOD } from './fakeIo.ts';

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
    const { stdout } = spawned('sh', ['-c', `"$0" boot "$1" --quiet 2>&1`, launcher, GOOD]);
    expect(stdout).toMatch(/Linux version[^\n]*\nfirstlight: reached banner after [^\n]*\n$/);
  });
});
