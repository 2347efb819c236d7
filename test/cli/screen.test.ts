import { describe, expect, it } from 'vitest';
import { Screen } from '../../src/cli/screen.ts';
import { type FakeOptions, fakeIo } from './fakeIo.ts';

const CLEAR = '\r\x1b[K';
const DIM = (text: string): string => `\x1b[2m${text}\x1b[22m`;
const NO_COLOUR = { NO_COLOR: '1' };

/** What ends up on the two streams; the callback works the screen. */
function shown(options: FakeOptions, use: (screen: Screen, print: (text: string) => void) => void) {
  const io = fakeIo(options);
  const screen = new Screen(io);
  use(screen, (text) => {
    for (const byte of Buffer.from(text, 'latin1')) screen.console(byte);
  });
  screen.flush();
  return io.written;
}

describe('the console', () => {
  it('goes to stdout byte for byte', () => {
    const bytes = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
    const { stdout, stderr } = shown({}, (_, print) => print(bytes));
    expect({ stdout, stderr }).toEqual({ stdout: bytes, stderr: '' });
  });

  it('may be longer than the buffer', () => {
    const long = 'abc'.repeat(50_000);
    expect(shown({}, (_, print) => print(long)).stdout).toBe(long);
  });

  it('comes before what is said after it', () => {
    const { both } = shown({}, (screen, print) => {
      print('one\n');
      screen.say('two');
    });
    expect(both).toBe('one\nfirstlight: two\n');
  });
});

describe('a line about the run', () => {
  const unfinished = (options: FakeOptions) =>
    shown(options, (screen, print) => {
      print('unfinished');
      screen.say('said');
      screen.say('more');
    });

  it('starts on a line of its own where both streams end in one place', () => {
    expect(unfinished({ sameOutput: true }).both).toBe('unfinished\nfirstlight: said\nfirstlight: more\n');
  });

  it('adds nothing to a console that goes elsewhere', () => {
    expect(unfinished({ sameOutput: false })).toMatchObject({
      stdout: 'unfinished',
      stderr: 'firstlight: said\nfirstlight: more\n',
    });
  });

  const red = (options: FakeOptions): string => shown(options, (screen) => screen.say('dead', 'bad')).stderr;

  it('has colours on a terminal', () => {
    expect(red({ terminal: true })).toBe('\x1b[31mfirstlight: dead\x1b[39m\n');
  });

  it.each([
    ['where it is no terminal', {}],
    ['with NO_COLOR', { terminal: true, env: NO_COLOUR }],
    ['on a dumb terminal', { terminal: true, env: { TERM: 'dumb' } }],
  ])('has none %s', (_name, options) => {
    expect(red(options)).toBe('firstlight: dead\n');
  });
});

describe('the progress line', () => {
  const terminal = { terminal: true };

  it('is shown on a terminal only', () => {
    expect(shown({}, (screen) => screen.progress('50 M/s')).both).toBe('');
    expect(shown(terminal, (screen) => screen.progress('50 M/s')).stderr).toBe(`\r${DIM('50 M/s')}\x1b[K`);
  });

  it('is cut to the width of the terminal', () => {
    expect(shown({ ...terminal, columns: 6 }, (screen) => screen.progress('50 M/s')).stderr).toBe(
      `\r${DIM('50 M/')}\x1b[K`,
    );
  });

  it('is gone before the console goes on, and before a line is said', () => {
    const { both } = shown(terminal, (screen, print) => {
      screen.progress('1');
      print('a\n');
      screen.flush();
      screen.progress('2');
      screen.say('b');
    });
    expect(both).toBe(`\r${DIM('1')}\x1b[K${CLEAR}a\n\r${DIM('2')}\x1b[K${CLEAR}firstlight: b\n`);
  });

  it('waits while the console is in the middle of a line', () => {
    const { both } = shown(terminal, (screen, print) => {
      print('a');
      screen.flush();
      screen.progress('1');
    });
    expect(both).toBe('a');
  });

  it('stays where the console goes elsewhere', () => {
    const { stderr } = shown({ ...terminal, sameOutput: false }, (screen, print) => {
      screen.progress('1');
      print('a');
      screen.flush();
      screen.progress('2');
    });
    expect(stderr).toBe(`\r${DIM('1')}\x1b[K\r${DIM('2')}\x1b[K`);
  });

  it('is erased by spaces, without a control sequence, with NO_COLOR', () => {
    const { stderr } = shown({ ...terminal, env: NO_COLOUR }, (screen) => {
      screen.progress('50 M/s');
      screen.progress('5 M/s');
      screen.say('b');
    });
    expect(stderr).toBe('\r50 M/s\r5 M/s \r     \rfirstlight: b\n');
  });

  it('is not shown on a dumb terminal', () => {
    expect(shown({ ...terminal, env: { TERM: 'dumb' } }, (screen) => screen.progress('50 M/s')).both).toBe('');
  });
});

describe('control characters in what is said', () => {
  const HOSTILE = '\x1b]0;gone\x07\x9b31m\u202e\x7f';
  const SEEN = '\\x1b]0;gone\\x07\\x9b31m\\u202e\\x7f';

  it('are made visible in a line about the run, in a report and in the progress line', () => {
    const said = shown({}, (screen) => screen.say(HOSTILE)).stderr;
    const reported = shown({}, (screen) => screen.report([{ text: HOSTILE, whole: true }])).stdout;
    const progress = shown({ terminal: true, env: NO_COLOUR }, (screen) => screen.progress(HOSTILE)).stderr;
    expect([said, reported, progress]).toEqual([`firstlight: ${SEEN}\n`, `${SEEN}\n`, `\r${SEEN}`]);
  });
});
