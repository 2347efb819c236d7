import { describe, expect, it } from 'vitest';
import { GIB, MIB } from '../../src/bits/sizes.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import { type CommandUsage, helpText, readArguments } from '../../src/cli/usage.ts';
import { NOTHING_GIVEN, type OptionRow, optionsOf, valueOf } from '../../src/options/row.ts';
import { DEFAULTS, OPTIONS, settingsOf } from '../../src/options/table.ts';
import { CONTEXT } from '../../src/options/looks.ts';
import { UsageError } from '../../src/options/usageError.ts';
import { countValue, sizeValue } from '../../src/options/values.ts';

const usageOf = (rows: readonly OptionRow[], command = 'boot'): CommandUsage => ({
  ...{ name: command, operand: 'IMAGE', summary: '', intro: [], outro: [] },
  options: optionsOf(command, rows),
});
/** What the command line makes of a run. */
const settings = (...args: readonly string[]) => settingsOf(readArguments(usageOf(OPTIONS), args));

const NAMES = Object.keys(COMMANDS);
/** Each option as a command shows it. */
const shown = OPTIONS.flatMap(({ commands }) => commands).length;
const rows = [...new Set(OPTIONS.flatMap(({ commands }) => commands))].flatMap((command) =>
  optionsOf(command, OPTIONS).map((row) => [`${command} --${row.name}`, row] as const),
);

describe('the table of options', () => {
  it.each(NAMES.filter((name) => name !== 'qemu'))('has all that %s takes, in that order', async (name) => {
    const command = await COMMANDS[name]?.();
    expect(command?.usage.options).toEqual(optionsOf(name, OPTIONS));
  });

  it('is about commands that there are, and has each option once in each', () => {
    expect(NAMES).toEqual(expect.arrayContaining(OPTIONS.flatMap(({ commands }) => commands)));
    expect(rows).toHaveLength(shown);
    expect(new Set(rows.map(([name]) => name)).size).toBe(shown);
  });

  it.each(rows)('explains %s in short lines, with its default', (_name, row) => {
    expect(row.help.length).toBeGreaterThan(0);
    for (const line of row.help) expect(line.length).toBeLessThanOrEqual(80);
    expect(row.help.at(-1)).toMatch(/\.$/);
    const standard = row.value === undefined ? undefined : row.default;
    expect(row.help.join(' ').includes('Default: ') || standard === undefined).toBe(true);
  });

  it.each(rows)('says of %s that it names a file where it does', (_name, { value = '', file }) => {
    expect(file !== undefined).toBe(value.startsWith('FILE'));
  });

  it('has other words for a command where it says so', () => {
    const row: OptionRow = { name: 'x', commands: ['boot', 'why'], help: ['Of boot.'], helpFor: { why: ['Of why.'] } };
    expect(optionsOf('boot', [row])).toMatchObject([{ help: ['Of boot.'] }]);
    expect(optionsOf('why', [row])).toMatchObject([{ help: ['Of why.'] }]);
    for (const { helpFor = {}, commands } of OPTIONS)
      expect(commands).toEqual(expect.arrayContaining(Object.keys(helpFor)));
  });
});

describe('a row added to the table', () => {
  const added: readonly OptionRow[] = [
    ...OPTIONS,
    { name: 'test-device', commands: ['boot'], field: 'testDevice', given: true, help: ["With QEMU's pc-testdev."] },
    {
      name: 'exit-port',
      value: 'PORT',
      commands: ['boot'],
      field: 'debugExit',
      parse: sizeValue,
      default: 0xf4,
      help: ['Where the guest ends the run. Default: 0xf4.'],
    },
  ];
  const read = (...args: readonly string[]) => settingsOf(readArguments(usageOf(added), args), added);

  it('shows up in the help of its command, and in no other', () => {
    const lines =
      "  --test-device\n      With QEMU's pc-testdev.\n  --exit-port PORT\n      Where the guest ends the run. Default: 0xf4.\n";
    expect(helpText(usageOf(added))).toContain(lines);
    expect(helpText(usageOf(added, 'why'))).not.toContain('--exit-port');
    expect(() => readArguments(usageOf(added, 'why'), ['--test-device'])).toThrow("unknown option '--test-device'");
  });

  it('sets its field, or leaves it what it is by default', () => {
    expect(read('--test-device', '--exit-port', '0x501')).toMatchObject({ testDevice: true, debugExit: 0x501 });
    expect(read()).toMatchObject({ testDevice: undefined, debugExit: 0xf4 });
  });

  it('refuses what its meaning refuses', () => {
    expect(() => read('--exit-port', 'door')).toThrow(UsageError);
    expect(() => read('--exit-port', 'door')).toThrow("--exit-port: 'door' is no size");
  });
});

describe('what the options say of a run', () => {
  it('is this where nothing is given', () => {
    expect(DEFAULTS).toEqual({
      ...{ cpu: 'max', memoryBytes: 512 * MIB, maxInstructions: 20_000_000_000n, seed: 0, apic: true },
    });
    expect(settingsOf(NOTHING_GIVEN)).toEqual(DEFAULTS);
  });

  it.each([
    [['--memory', '6G', '--seed', '7', '--cpu', 'qemu64'], { memoryBytes: 6 * GIB, seed: 7, cpu: 'qemu64' }],
    [['--entry', '32', '--load-at', '16M', '--paging', '5'], { entry: 32, loadAt: 16 * MIB, paging: 5 }],
    [['--no-apic'], { apic: false }],
    [['--device', 'virtio-rng', '--device', 'virtio-console'], { extras: ['virtio-rng', 'virtio-console'] }],
    [['--memory', 'lots', '--memory', '1G'], { memoryBytes: GIB }],
    [['--until-text', 'login:'], { until: 'end', untilText: 'login:' }],
    [['--run', 'id'], { until: 'end', command: 'id' }],
    [['--run', 'id', '--until', 'init'], { until: 'init', command: 'id' }],
    [['--interactive'], { until: 'end', maxInstructions: 10n ** 18n }],
    [
      ['--interactive', '--max-instructions', '5e9', '--until', 'banner'],
      { until: 'banner', maxInstructions: 5_000_000_000n },
    ],
    [['--save', 'x', '--initrd', 'y', '--disk', 'z', '--append', 'quiet'], DEFAULTS],
  ])('%j', (args, expected) => {
    expect(settings(...args)).toEqual({ ...DEFAULTS, ...expected });
  });

  it('is asked of the option itself where it is none of a run', () => {
    const usage = usageOf(OPTIONS, 'diff');
    const context = (...args: readonly string[]) => valueOf<number>(readArguments(usage, args), CONTEXT);
    expect([context(), context('--context', '0'), context('--context', '99999')]).toEqual([3, 0, 10_000]);
    expect(() => context('--context', 'some')).toThrow("--context: 'some' is no whole number");
  });

  it('names the option that refuses', () => {
    expect(() => settings('--device', 'floppy')).toThrow("--device: 'floppy' is none of");
    expect(() => countValue('max-instructions', '0')).toThrow('--max-instructions');
  });
});
