import { describe, expect, it } from 'vitest';
import { BootRun } from '../../src/run/run.ts';
import { driveInteractive, EscapeKeys } from '../../src/cli/interactive.ts';
import type { Keyboard } from '../../src/cli/io.ts';
import { Screen } from '../../src/cli/screen.ts';
import { endlessImage, fakeIo, firstlight, GOOD } from './fakeIo.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const text = (given: Uint8Array): string => String.fromCharCode(...given);

describe('the escape keys', () => {
  it('pass on what is typed', () => {
    expect(text(new EscapeKeys().take(bytes('ls -l\r\x03')))).toBe('ls -l\r\x03');
  });

  it('send one Ctrl-A for two', () => {
    const keys = new EscapeKeys();
    expect(text(keys.take(bytes('\x01\x01x')))).toBe('\x01x');
    expect(keys.left).toBe(false);
  });

  it('leave at Ctrl-A x, also where it comes in two pieces, and pass on nothing behind it', () => {
    const keys = new EscapeKeys();
    expect(text(keys.take(bytes('a\x01')))).toBe('a');
    expect(text(keys.take(bytes('xyz')))).toBe('');
    expect(keys.left).toBe(true);
  });

  it('swallow other keys behind Ctrl-A', () => {
    expect(text(new EscapeKeys().take(bytes('\x01qa')))).toBe('a');
  });
});

const endlessRun = (): BootRun =>
  new BootRun({
    image: endlessImage(),
    cpu: 'max',
    memoryBytes: 64 * 2 ** 20,
    cmdline: '',
    until: 'end',
    maxInstructions: 10n ** 15n,
    seed: 0,
  });

/** Keys that are typed as soon as somebody listens. */
const typing = (...typed: readonly string[]): Keyboard & { closed: boolean } => {
  let handler: Keyboard['onBytes'];
  return {
    closed: false,
    get onBytes() {
      return handler;
    },
    set onBytes(listener) {
      handler = listener;
      for (const keys of typed) listener?.(bytes(keys));
    },
    close() {
      this.closed = true;
    },
  };
};

describe('an interactive run', () => {
  it('is left by Ctrl-A x, and closes the keyboard', async () => {
    const io = fakeIo();
    const keyboard = typing('\x01', 'x');
    expect(await driveInteractive(endlessRun(), io, new Screen(io), keyboard)).toBe('left');
    expect(keyboard.closed).toBe(true);
  });

  it('closes the keyboard when the run throws', async () => {
    const io = fakeIo();
    const keyboard = typing();
    const run = endlessRun();
    run.advance = () => {
      throw new Error('broken');
    };
    await expect(driveInteractive(run, io, new Screen(io), keyboard)).rejects.toThrow('broken');
    expect(keyboard.closed).toBe(true);
  });

  it('types at the serial port', async () => {
    const io = fakeIo();
    const run = endlessRun();
    await driveInteractive(run, io, new Screen(io), typing('q', '\x01x'));
    expect(run.machine.inputLog).toEqual([{ at: 0n, byte: 'q'.charCodeAt(0) }]);
  });
});

describe('firstlight boot --interactive', () => {
  it('refuses where standard input is no terminal, in one line', async () => {
    const said = await firstlight(['boot', GOOD, '--interactive']);
    expect(said.code).toBe(2);
    expect(said.both).toBe('firstlight: --interactive needs a terminal, and standard input is none\n');
  });

  it('refuses --json', async () => {
    expect((await firstlight(['boot', GOOD, '--interactive', '--json'])).code).toBe(2);
  });
});
