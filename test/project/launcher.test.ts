import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const launcher = fileURLToPath(new URL('../../firstlight', import.meta.url));

describe('./firstlight', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'firstlight-launcher-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Runs the launcher, or a link to it, with nothing in PATH but `folder`. */
  const launch = (path = launcher) => {
    const { status, stdout, stderr } = spawnSync('/bin/sh', [path], { env: { PATH: folder }, encoding: 'utf8' });
    return { status, stdout, stderr };
  };

  const nodeSaying = (version: string): void => {
    writeFileSync(join(folder, 'node'), `#!/bin/sh\necho ${version}\n`);
    chmodSync(join(folder, 'node'), 0o755);
  };

  it('says what is missing where there is no Node', () => {
    const { status, stdout, stderr } = launch();
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^firstlight: Node\.js 20\.19 or newer is needed, and no working "node" was found.*\n$/);
  });

  it.each(['v18.20.4', 'v20.18.3'])('turns Node %s down in one line', (version) => {
    nodeSaying(version);
    const { status, stdout, stderr } = launch();
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^firstlight: Node\.js 20\.19 or newer is needed; this is \d+\.\d+\.\d+ .*\n$/);
  });

  it('finds its checkout through a symbolic link', () => {
    const realPath = process.env['PATH'];
    symlinkSync(launcher, join(folder, 'fl'));
    const { status, stderr } = spawnSync(join(folder, 'fl'), ['--help'], { env: { PATH: realPath }, encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});
