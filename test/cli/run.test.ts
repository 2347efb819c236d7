// `--run`, `--busybox`, and ends that the guest brings about itself. The guests are a few instructions long.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findBusybox } from '../../src/cli/busybox.ts';
import { exitCodeOf } from '../../src/cli/exit.ts';
import type { BootJson } from '../../src/report/json.ts';
import { makeElf } from '../image/synthetic.ts';
import { firstlight, GOOD } from './fakeIo.ts';

const directory = mkdtempSync(join(tmpdir(), 'firstlight-run-'));
afterAll(() => rmSync(directory, { recursive: true }));
const file = (name: string, bytes: Uint8Array): string => {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
};

const ENTRY = 0x1000000n;
const kernel = (name: string, code: readonly number[]): string => {
  const bytes = Uint8Array.from(code);
  const segment = { physAddr: ENTRY, virtAddr: ENTRY, memSize: 0x1000n, bytes };
  return file(name, makeElf({ segments: [segment], entry: ENTRY }));
};
/** mov $0x604,%dx; mov $0x3400,%ax; out %ax,(%dx) */
const OFF = [0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x34, 0x66, 0xef];
const POWERS_OFF = kernel('off', OFF);
/** mov $0xcf9,%dx; mov $6,%al; out %al,(%dx) */
const RESETS = kernel('reset', [0x66, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee]);
/** mov $0x2f9,%dx; in (%dx),%al; and switches off */
const LOOKS = kernel('looks', [0x66, 0xba, 0xf9, 0x02, 0xec, ...OFF]);
const PANIC = 'Kernel panic - not syncing';
/** mov $letter,%al; mov $0x3f8,%dx; out %al,(%dx) for each letter; cli; hlt */
const PANICS = kernel('panics', [
  ...[...Buffer.from(`${PANIC}: no\nCall Trace:\n panic+0x1/0x2\n`)].flatMap((letter) => [
    0xb0,
    letter,
    0x66,
    0xba,
    0xf8,
    0x03,
    0xee,
  ]),
  ...[0xfa, 0xf4],
]);
/** movl $0x074b074f,0xb8000; jmp . */
const DRAWS = kernel('draws', [0xc7, 0x04, 0x25, 0, 0x80, 0x0b, 0, 0x4f, 0x07, 0x4b, 0x07, 0xeb, 0xfe]);
const BUSYBOX = file('busybox', makeElf());
const dynamic = makeElf();
dynamic[64] = 3;
const DYNAMIC = file('dynamic', dynamic);
const MISSING = join(directory, 'missing');

const boot = (...args: string[]) => firstlight(['boot', ...args]);
const machineOf = (stdout: string): Record<string, unknown> =>
  (JSON.parse(stdout) as { machine: Record<string, unknown> }).machine;

describe('firstlight boot --until-text', () => {
  it('stops well where the guest shows the text, and --screen prints what is there', async () => {
    const { code, stdout, stderr } = await boot(DRAWS, '--until-text', 'OK', '--screen');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'OK\n' });
    expect(stderr).toMatch(/\nfirstlight: the guest said "OK"; after 10,000,000 instructions/);
  });

  it('tells of the text screen where the guest ends otherwise', async () => {
    const { code, stderr } = await boot(DRAWS, '--until-text', 'KO', '--max-instructions', '1M');
    expect(code).toBe(3);
    expect(stderr).toMatch(/on the text screen of the VGA \(--screen [^\n]*\):\nfirstlight: {3}OK\n/);
  });
});

describe('an empty --until-text', () => {
  it('is refused', async () => {
    const { code, stderr } = await boot(DRAWS, '--until-text', '');
    expect([code, stderr]).toEqual([2, expect.stringContaining('--until-text: there is no text to wait for')]);
  });
});

describe('what a PC may have and this one has not', () => {
  it('is no news after a good end, and marked in JSON', async () => {
    const { stderr } = await boot(LOOKS, '--until', 'end');
    expect(stderr).not.toContain('does not have');
    const { unimplemented } = JSON.parse((await boot(LOOKS, '--until', 'end', '--json')).stdout) as BootJson;
    expect(unimplemented).toEqual([{ what: 'port 0x2f9: read, no device there', device: 'COM2', count: 1 }]);
  });

  it('is told of after a death, by its name', async () => {
    const { stderr } = await boot(LOOKS, '--until', 'init');
    expect(stderr).toMatch(/does not have:\nfirstlight: {3}port 0x2f9: read, no device there \(COM2\)\n$/);
  });
});

describe('a kernel that panics', () => {
  it('is told of with its call trace', async () => {
    const { code, stderr } = await boot(PANICS, '--until', 'end');
    expect(code).toBe(1);
    expect(stderr).toContain("firstlight: the kernel's call trace:\nfirstlight:   panic+0x1/0x2\n");
    const { outcome } = JSON.parse((await boot(PANICS, '--until', 'end', '--json')).stdout) as BootJson;
    expect(outcome).toMatchObject({ kind: 'panic', message: `${PANIC}: no`, callTrace: ['panic+0x1/0x2'] });
  });
});

describe('firstlight boot --until end', () => {
  it('ends well when the guest powers off', async () => {
    const { code, stderr } = await boot(POWERS_OFF, '--until', 'end');
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /\nfirstlight: powered off; after 3 instructions \(1\.003 us of guest time\), last stage: handoff\n$/,
    );
  });

  it('says so in JSON', async () => {
    const { code, stdout } = await boot(POWERS_OFF, '--until', 'end', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      outcome: { kind: 'powered-off', stage: 'handoff', instructions: 3 },
      machine: { until: 'end' },
    });
  });

  it('takes a reset before user space for a death', async () => {
    const { code, stderr } = await boot(RESETS, '--until', 'end', '--quiet');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^firstlight: the guest reset the machine .*\(port 0xcf9\)/);
  });
});

describe('a guest that powers off before the stage asked for', () => {
  it('has not reached it', async () => {
    expect((await boot(POWERS_OFF, '--quiet')).code).toBe(1);
  });
});

const WORDS = 'earlyprintk=serial,ttyS0,115200 console=ttyS0';

describe('firstlight boot --run', () => {
  const run = (...args: string[]) => boot(POWERS_OFF, '--run', 'true', '--busybox', BUSYBOX, '--json', ...args);

  it('makes an initrd, asks for a console, and goes on to the end', async () => {
    const { code, stdout } = await run();
    // It powers off without a word of the command.
    expect(code).toBe(1);
    expect(machineOf(stdout)).toMatchObject({
      until: 'end',
      cmdline: WORDS,
      initrdBytes: expect.any(Number),
    });
  });

  it.each([
    ['quiet', `${WORDS} quiet`],
    ['quiet console=ttyS1', 'earlyprintk=serial,ttyS0,115200 quiet console=ttyS1'],
    ['nokaslr noconsole=1', `${WORDS} nokaslr noconsole=1`],
  ])('with --append "%s" has the command line "%s"', async (append, cmdline) => {
    expect(machineOf((await run('--append', append)).stdout)).toMatchObject({ cmdline });
  });

  it('stops earlier where that is asked for', async () => {
    const { code, stdout } = await run('--until', 'handoff');
    expect([code, machineOf(stdout)['until']]).toEqual([0, 'handoff']);
  });

  it.each([
    [['--run', 'true', '--initrd', GOOD], '--run makes the initial RAM disk itself; leave --initrd or --run away'],
    [['--busybox', BUSYBOX], '--busybox is for --run'],
    [['--run', ' ', '--busybox', BUSYBOX], 'there is no command to run'],
    [['--run', 'true', '--busybox', MISSING], 'no such file'],
    [['--run', 'true', '--busybox', DYNAMIC], 'is dynamically linked'],
    [['--run', 'true', '--busybox', GOOD], 'is no x86 Linux program'],
  ])('with %j is refused', async (args, message) => {
    const { code, stderr } = await boot(POWERS_OFF, ...args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe('what a command leaves', () => {
  /** mov $letter,%al; mov $port,%dx; out %al,(%dx) for each letter */
  const says = (port: number, text: string): number[] =>
    [...Buffer.from(text)].flatMap((letter) => [0xb0, letter, 0x66, 0xba, port & 0xff, port >> 8, 0xee]);
  const commandKernel = (name: string, status: string, end: readonly number[] = OFF): string =>
    kernel(name, [
      ...says(0x3f8, 'log\n'),
      ...says(0x2f8, 'out\n'),
      ...says(0x3e8, 'err\n'),
      ...says(0x2e8, status),
      ...end,
    ]);
  const RUN = ['--run', 'it', '--busybox', BUSYBOX];

  it('comes where it would come if it ran here: its output, its status; the console goes to stderr', async () => {
    const { code, stdout, stderr } = await boot(commandKernel('seven', 'status 7\n'), ...RUN);
    expect({ code, stdout }).toEqual({ code: 7, stdout: 'out\n' });
    expect(stderr).toMatch(/\nlog\nerr\nfirstlight: powered off[^\n]*\nfirstlight: the command ended with status 7\n/);
  });

  it('is all there is with --quiet', async () => {
    const said = await boot(commandKernel('seven', 'status 7\n'), ...RUN, '--quiet');
    expect(said).toMatchObject({ code: 7, stdout: 'out\n', stderr: 'err\n' });
  });

  it('is told in JSON', async () => {
    const { code, stdout } = await boot(commandKernel('seven', 'status 7\n'), ...RUN, '--json');
    expect([code, (JSON.parse(stdout) as BootJson).run]).toEqual([
      7,
      { command: 'it', status: 7, stdout: 'out\n', stderr: 'err\n' },
    ]);
  });

  it.each([
    ['none', ''],
    ['no line of /init', 'status seven\n'],
    ['too large', 'status 1000\n'],
  ])('is a death where the guest powers off without a status: %s', async (name, told) => {
    const { code, stderr } = await boot(commandKernel(name.replaceAll('/', ''), told), ...RUN, '--quiet');
    expect([code, stderr]).toEqual([1, 'err\nfirstlight: the guest ended before it told a status of the command\n']);
  });

  it('is not passed on where the guest dies', async () => {
    const { code, stdout } = await boot(commandKernel('halts', 'status 0\n', [0xfa, 0xf4]), ...RUN, '--json');
    const { outcome, run } = JSON.parse(stdout) as BootJson;
    expect([code, outcome.kind, run?.status]).toEqual([1, 'halt', 0]);
  });

  it('survives being saved', async () => {
    // In the middle of what it prints.
    const image = commandKernel('saved', 'status 7\n');
    const saved = join(directory, 'saved.snapshot');
    await boot(image, ...RUN, '--max-instructions', '20', '--save', saved);
    const whole = await boot(image, ...RUN, '--json');
    const gone = await boot('--restore', saved, '--json');
    expect(gone.code).toBe(7);
    expect((JSON.parse(gone.stdout) as BootJson).run).toEqual((JSON.parse(whole.stdout) as BootJson).run);
  });

  it('is what --until-text looks at too', async () => {
    const { code } = await boot(commandKernel('seven', 'status 7\n'), ...RUN, '--until-text', 'out', '--quiet');
    expect(code).toBe(0);
  });
});

/** mov $value,%al; out %al,$0xf4 */
const exits = (value: number): string => kernel(`exits${value}`, [0xb0, value, 0xe6, 0xf4]);

describe('firstlight boot --exit-code guest', () => {
  it.each([
    [0, 1],
    [1, 3],
    [63, 127],
    [0xff, 0xff],
  ])(
    'ends as QEMU does where the guest writes %d to port 0xf4: with %d, silently with --quiet',
    async (value, code) => {
      const said = await boot(exits(value), '--until', 'end', '--exit-code', 'guest', '--quiet');
      expect(said).toMatchObject({ code, stdout: '', stderr: '' });
    },
  );

  it('ends by our own codes otherwise', async () => {
    expect((await boot(POWERS_OFF, '--until', 'end', '--exit-code', 'guest')).code).toBe(0);
    expect((await boot(exits(1), '--until', 'end', '--quiet')).code).toBe(1);
    expect((await boot(exits(1), '--exit-code', 'other')).code).toBe(2);
  });
});

describe('firstlight boot --quiet', () => {
  it('says nothing where the run ends as asked', async () => {
    expect(await boot(POWERS_OFF, '--until', 'end', '--quiet')).toMatchObject({ code: 0, stdout: '', stderr: '' });
  });

  it('says how it ended where it does not', async () => {
    const { code, stderr } = await boot(POWERS_OFF, '--until', 'init', '--quiet');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^firstlight: powered off; after [^\n]*\n$/);
  });
});

describe('firstlight boot --safe-console', () => {
  const text = '\x1b[2Ja\tb\r\nc\rd\x9b\x7f\r\n';
  const prints = kernel('prints', [
    ...[...Buffer.from(text, 'latin1')].flatMap((letter) => [0xb0, letter, 0x66, 0xba, 0xf8, 0x03, 0xee]),
    ...OFF,
  ]);

  it('shows what would act on a terminal', async () => {
    const { stdout } = await boot(prints, '--until', 'end', '--quiet', '--safe-console');
    expect(stdout).toBe('\\x1b[2Ja\tb\r\nc\\x0dd\\x9b\\x7f\r\n');
  });

  it('is a choice: without it bytes pass', async () => {
    expect((await boot(prints, '--until', 'end', '--quiet')).stdout).toBe(text);
  });
});

describe('the search for busybox', () => {
  it('takes the first place that has a static one', () => {
    expect(findBusybox(undefined, [MISSING, DYNAMIC, BUSYBOX])).toEqual(findBusybox(BUSYBOX));
  });

  it('says how to get one, and what was wrong with what is there', () => {
    expect(() => findBusybox(undefined, [MISSING, DYNAMIC])).toThrow(
      /^--run needs a statically linked busybox: install Debian's package busybox-static, or name a file with --busybox \(.*missing': no such file; .*dynamic' is dynamically linked/,
    );
  });
});

describe('the exit code', () => {
  it.each([
    ['powered-off', 'end', 0],
    ['powered-off', 'init', 1],
    ['reset', 'end', 0],
    ['panic', 'end', 1],
    ['instruction-limit', 'end', 3],
  ] as const)('of %s where %s was asked for is %d', (kind, until, code) => {
    expect(exitCodeOf({ outcome: { kind, stage: 'init' } }, until)).toBe(code);
  });
});
