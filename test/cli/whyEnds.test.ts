// How far an image came, said truly; the silent ones; and the other entries.
import { afterAll, describe, expect, it } from 'vitest';
import { firstlight, GOOD, sample } from './fakeIo.ts';
import { BANNER, guest, guestFolder, HALTS, NO_ROOT, OFF, UD2 } from './whyGuests.ts';

const folder = guestFolder();
afterAll(() => folder.remove());
const why = async (...args: string[]) => {
  const { code, stdout, stderr } = await firstlight(['why', ...args]);
  return { code, stderr, stdout: stdout.replace(/\s+/g, ' ') };
};
const jsonOf = async (...args: string[]): Promise<Record<string, unknown>> =>
  JSON.parse((await firstlight(['why', '--json', ...args])).stdout) as Record<string, unknown>;

describe('a kernel that finds no root file system', () => {
  const path = folder.file('no-root', guest(HALTS, NO_ROOT));
  const SAID =
    'It boots as far as a kernel can without a root file system or an initrd, and none was given: the kernel gave';

  it('boots, where none was given', async () => {
    const { code, stdout } = await why(path);
    expect(stdout).toContain(SAID);
    expect(stdout).toContain('--initrd FILE');
    expect(stdout).not.toContain('HOW IT DIED');
    expect(code).toBe(0);
    expect(await jsonOf(path)).toMatchObject({ wellEnded: 'no-root', outcome: { kind: 'panic' } });
  });

  it.each([
    ['an initrd', ['--initrd', GOOD]],
    ['a root', ['--append', 'root=/dev/vda1']],
  ])('dies, where it was given %s', async (_, args) => {
    const { code, stdout } = await why(path, ...args);
    expect(stdout).not.toContain(SAID);
    expect(stdout).toContain('HOW IT DIED');
    expect(code).toBe(1);
  });

  it('is told by boot how to go on', async () => {
    expect((await firstlight(['boot', path, '--until', 'end'])).stderr).toContain('--run COMMAND');
  });
});

describe('a kernel that dies behind its first line', () => {
  it.each([
    ['a panic', guest(HALTS, `${BANNER}\nKernel panic - not syncing: out of memory\n`)],
    ['an exception', guest(UD2, `${BANNER}\n`)],
  ])('by %s is dead', async (name, bytes) => {
    const { code, stdout } = await why(folder.file(name.replaceAll(' ', '-'), bytes));
    expect(stdout).toMatch(/HOW IT DIED .*last stage reached: banner/);
    expect(stdout).not.toContain('It boots');
    expect(code).toBe(1);
  });

  it('boots as far as was asked for with --until banner, and no more is said', async () => {
    const { code, stdout } = await why(folder.file('to-banner', guest(UD2, `${BANNER}\n`)), '--until', 'banner');
    expect(stdout).toMatch(
      /It boots as far as was asked for: reached banner .*; what comes after was not run\. No finding/,
    );
    expect(code).toBe(0);
  });

  it('is said by boot not to have been run further, where no stage was asked for', async () => {
    const path = folder.file('boots', guest(UD2, `${BANNER}\n`));
    expect((await firstlight(['boot', path])).stderr).toMatch(/reached banner after .*; what comes after was not run/);
    expect((await firstlight(['boot', path, '--until', 'banner'])).stderr).not.toContain('was not run');
  });
});

describe('a kernel that is asked by nobody to speak', () => {
  const lives = folder.file('mute', guest(OFF, `${BANNER}\n`));
  const WORDS = 'earlyprintk=serial,ttyS0,115200 console=ttyS0';

  it('is not dead, only mute, where it lives with words for the serial port', async () => {
    const { code, stdout } = await why(lives, '--no-default-append', '--append', 'quiet');
    expect(stdout).toContain('NOT DEAD, ONLY MUTE: IT LIVES, BUT SAYS IT WHERE NOBODY LISTENS');
    expect(stdout).toMatch(new RegExp(`put \`${WORDS} ignore_loglevel\` on its command line`));
    expect(code).toBe(0);
    expect(await jsonOf(lives, '--no-default-append', '--append', 'quiet')).toMatchObject({
      spoken: { mute: true, cmdline: `${WORDS} ignore_loglevel quiet`, wellEnded: 'powered-off' },
      console: '',
    });
  });

  it('is not called mute where it hangs, and lives only with other words', async () => {
    // cmpb $'e',(%rdi); jne . where nothing asks it to speak
    const path = folder.file('mute-hangs', guest(`803f65 75fe ${OFF}`, `${BANNER}\n`));
    const { code, stdout } = await why(path, '--no-default-append');
    expect(stdout).toMatch(/HOW IT DIED Hang .*WITH ANOTHER COMMAND LINE IT LIVES/);
    expect(stdout).not.toContain('ONLY MUTE');
    expect(code).toBe(1);
    expect(await jsonOf(path, '--no-default-append')).toMatchObject({ spoken: { mute: false } });
  });

  it('says of itself what it dies of, where it dies with them too', async () => {
    const path = folder.file('mute-dies', guest(UD2, `${BANNER}\nall is lost\n`));
    const { code, stdout } = await why(path, '--no-default-append');
    expect(stdout).toMatch(
      /HOW IT DIED .*MADE TO SPEAK, IT DIES TOO .*What it said then: Linux version 9.9 all is lost/,
    );
    expect(stdout).not.toContain('ONLY MUTE');
    expect(code).toBe(1);
  });

  it('is booted once only where it speaks', async () => {
    expect(await jsonOf(lives)).toMatchObject({ spoken: null, wellEnded: 'powered-off' });
  });

  it('is told by boot which words those are, where it dies', async () => {
    const path = folder.file('mute-boot', guest(UD2, BANNER));
    const { stderr } = await firstlight(['boot', path, '--no-default-append']);
    expect(stderr).toContain(`Linux says on the serial port what it does with ${WORDS} on the command line`);
    expect((await firstlight(['boot', path])).stderr).not.toContain('says on the serial port what it does');
  });
});

describe('the other entry of a bzImage', () => {
  it('is tried where the 64-bit one passes, and what dies there is explained', async () => {
    const { code, stdout } = await why(sample('compare-bad.bzImage'));
    const order = [
      'By the 64-bit entry, loaded at 0x1000000, it boots and ends by itself',
      'BY ANOTHER ENTRY IT DOES NOT: the 32-bit entry, loaded at 0x100000',
      'HOW IT DIED Triple fault',
      'CAUSE 1: POSITION-DEPENDENT REFERENCE',
      'cmp $0x1e000,%rax',
    ].map((text) => stdout.indexOf(text));
    expect(order).not.toContain(-1);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(stdout).not.toContain('No finding');
    expect(code).toBe(1);
  });

  it('is in JSON', async () => {
    expect(await jsonOf(sample('compare-bad.bzImage'))).toMatchObject({
      wellEnded: 'powered-off',
      causes: [],
      entries: [{ entry: 32, loadAddress: '0x100000', wellEnded: null, causes: [{ proof: { held: true } }] }],
    });
  });

  it('is said to have been tried where it passes too', async () => {
    const { code, stdout } = await why(sample('compare-good.bzImage'));
    expect(stdout).toMatch(/No finding\. Tried too: the 32-bit entry, loaded at 0x100000, .* It reached handoff after/);
    expect(code).toBe(0);
  });

  it.each([['64'], ['32']])('is not tried where --entry names one: %s', async (entry) => {
    const { stdout } = await why(sample('compare-good.bzImage'), '--entry', entry);
    expect(stdout).toContain(`The ${entry}-bit entry was asked for; no other was tried.`);
    expect(await jsonOf(sample('compare-good.bzImage'), '--entry', entry)).toMatchObject({ entries: [] });
  });
});
