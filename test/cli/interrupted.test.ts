import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { BootRun } from '../../src/run/run.ts';
import { endlessImage, firstlight } from './fakeIo.ts';

describe('firstlight boot of an image that never ends', () => {
  let folder = '';
  let image = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'firstlight-endless-'));
    image = join(folder, 'endless');
    writeFileSync(image, endlessImage());
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('ends with 130 at Ctrl-C and says how far it came', async () => {
    const { code, stdout, stderr } = await firstlight(['boot', image], { interrupt: true });
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    expect(stderr).toMatch(
      /firstlight: stopped by Ctrl-C after 1,000,000 instructions \(1\.000 ms of guest time\), last stage: entry\n$/,
    );
  });

  it('ends with 130 at Ctrl-C and prints no half object with --json', async () => {
    expect(await firstlight(['boot', image, '--json'], { interrupt: true })).toMatchObject({ code: 130, stdout: '' });
  });

  it('ends with 141, silently, when its output is closed', async () => {
    const { code, stderr } = await firstlight(['boot', image, '--quiet'], { outputClosed: true });
    expect({ code, stderr }).toEqual({ code: 141, stderr: '' });
  });

  it('calls a bug of ours a bug, without a stack trace unless asked for', async () => {
    const broken = vi.spyOn(BootRun.prototype, 'advance').mockImplementation(() => {
      throw new TypeError('a bug\nof two lines');
    });
    const plain = await firstlight(['boot', image, '--quiet']);
    const debug = await firstlight(['boot', image, '--quiet'], { env: { FIRSTLIGHT_DEBUG: '1' } });
    broken.mockRestore();
    const line = 'firstlight: internal error: a bug of two lines; please report it (FIRSTLIGHT_DEBUG=1 shows more)\n';
    expect(plain).toMatchObject({ code: 70, stdout: '', stderr: line });
    expect(debug.stderr).toContain('interrupted.test.ts');
  });
});
