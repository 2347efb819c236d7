// What `npm pack` would publish, unpacked beside its two run-time dependencies as an installation lays it out.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.ts';
import { helpText } from '../../src/cli/usage.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

const run = (command: string, args: string[], cwd: string): string => {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (error || status !== 0) throw error ?? new Error(`${command} ended with ${status}: ${stderr}`);
  return stdout;
};

describe('the npm package', () => {
  let folder = '';
  let installed = '';

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'firstlight-package-'));
    // dist/ is there already: the build is a step before the tests.
    run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], root);
    run('sh', ['-c', 'tar xzf *.tgz && rm *.tgz'], folder);
    installed = join(folder, 'node_modules/firstlight');
    mkdirSync(join(folder, 'node_modules'));
    run('mv', ['package', installed], folder);
    for (const name of ['iced-x86', 'picocolors']) {
      symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(['LICENSE', 'README.md', 'dist/cli/main.js', 'samples/built'])('holds %s', (path) => {
    expect(existsSync(join(installed, path))).toBe(true);
  });

  it.each(['src', 'test', 'scripts', 'dist/.stamp'])('leaves %s out', (path) => {
    expect(existsSync(join(installed, path))).toBe(false);
  });

  it('has what the help of each command names', async () => {
    const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()));
    const named = commands.flatMap(({ usage }) => helpText(usage).match(/\b(?:docs|samples)\/[\w./-]*\w/g) ?? []);
    expect(named).toContain('docs/json.md');
    expect(named.filter((path) => !existsSync(join(installed, path)))).toEqual([]);
  });

  it('has the programs that it promises', () => {
    const { bin } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
      bin: Record<string, string>;
    };
    expect(Object.keys(bin)).toEqual(['firstlight', 'firstlight-qemu']);
    for (const path of Object.values(bin)) {
      expect(run(process.execPath, [join(installed, path), '--version'], folder)).toMatch(/\d+\.\d+\.\d+/);
    }
  });

  it('runs outside the checkout', () => {
    expect(run(process.execPath, [join(installed, 'dist/cli/main.js'), '--help'], folder)).toContain('firstlight');
  });
});
