import { describe, expect, it } from 'vitest';
import { optionsOf } from '../../src/options/row.ts';
import { OPTIONS } from '../../src/options/table.ts';
import type { Command } from '../../src/cli/command.ts';
import { nearest, slips } from '../../src/cli/nearest.ts';
import { type CommandUsage, helpText, readArguments } from '../../src/cli/usage.ts';
import { firstlight, GOOD } from './fakeIo.ts';

describe('firstlight', () => {
  it.each([['--help'], ['-h'], ['help']])('%s lists the commands and exit codes on stdout', async (arg) => {
    const { code, stdout, stderr } = await firstlight([arg]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/firstlight boot IMAGE {2,}boot a kernel image/);
    expect(stdout).toContain('Exit codes: 0 the stage');
  });

  it('without arguments shows the help as an error', async () => {
    const { code, stdout, stderr } = await firstlight([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('firstlight boot IMAGE');
  });

  it('--version prints the version of the package', async () => {
    expect(await firstlight(['--version'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^firstlight \d+\.\d+\.\d+\n$/),
    });
  });

  it.each([
    [['frob'], "there is no command 'frob'; there is boot"],
    [['help', 'frob'], "there is no command 'frob'; there is boot"],
    [['--frob'], "unknown option '--frob'"],
    [['boto'], 'did you mean boot?'],
    [['--verison'], "unknown option '--verison'; did you mean --version?"],
    [[GOOD], `'${GOOD}' is no command; try 'firstlight boot ${GOOD}'`],
  ])('refuses %j', async (args, message) => {
    const { code, stdout, stderr } = await firstlight(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^firstlight: [^\n]+\n$/);
    expect(stderr).toContain(message);
  });
});

describe('a command added as a row', () => {
  const command: Command = {
    usage: {
      ...{ name: 'frob', operand: 'IMAGE', summary: 'turn it round', intro: ['Turns an image round.'], outro: [] },
      options: [{ name: 'twice', help: ['Two times.'] }],
    },
    run: async ({ operands, switches }, io) => {
      io.stdout.write(`${operands.join()} ${switches.has('twice')}`);
      return 7;
    },
  };

  it('is run, explained and listed', async () => {
    expect(await firstlight(['frob', 'x', '--twice'], { command })).toMatchObject({ code: 7, stdout: 'x true' });
    expect((await firstlight(['help', 'frob'], { command })).stdout).toContain('  --twice\n      Two times.');
    expect((await firstlight(['--help'], { command })).stdout).toMatch(/firstlight frob IMAGE {2,}turn it round/);
    const { code, stderr } = await firstlight(['frobb'], { command });
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringMatching(/frob; did you mean frob\?/) });
  });
});

describe('firstlight boot', () => {
  it.each([
    ['boot --help', ['boot', '--help']],
    ['boot -h', ['boot', '-h']],
    ['help boot', ['help', 'boot']],
    ['boot with other mistakes and --help', ['boot', '--frob', '--help']],
  ])('explains every option: %s', async (_name, args) => {
    const { code, stdout, stderr } = await firstlight(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const { name } of optionsOf('boot', OPTIONS))
      expect(stdout).toMatch(new RegExp(`^ {2}--${name}\\b.*\\n {6}\\S`, 'm'));
  });

  it.each([
    [[], 'no image given'],
    [['a', 'b'], "one image at a time; 'b' is one too many"],
    [['x', '--frob'], "unknown option '--frob'"],
    [['x', '-q'], "unknown option '-q' (see"],
    [['x', '--apend', 'y'], "unknown option '--apend'; did you mean --append? (see"],
    [['x', '--max=5'], "unknown option '--max'; did you mean --max-instructions? (see"],
    [['x', '-append', 'y'], "unknown option '-append'; did you mean --append? (see"],
    [['x', '--memory'], '--memory needs a value, SIZE'],
    [['x', '--memory', '--json'], "--memory needs a value, SIZE (if '--json' is meant: --memory=--json)"],
    [['x', '--json=yes'], '--json takes no value'],
    [['x', '--memory', 'lots'], "--memory: 'lots' is no size"],
    [['x', '--memory', '-5M'], "--memory: '-5M' is no size"],
    [['x', '--load-at', '1.5M'], "--load-at: '1.5M' is no address"],
    [['x', '--entry', '16'], "--entry: '16' is none of 32, 64"],
    [['x', '--paging', '3'], "--paging: '3' is none of 4, 5"],
    [['x', '--until', 'login'], "--until: 'login' is none of entry, decompress, handoff, banner"],
    [['x', '--max-instructions', '0'], "--max-instructions: '0' is no count"],
    [['x', '--max-instructions', '1e99'], "--max-instructions: '1e99' is no count"],
    [['x', '--seed', '-1'], "--seed: '-1' is no whole number"],
    [['x', '--seed', '1K'], "--seed: '1K' is no whole number"],
    [[GOOD, '--entry', '32', '--paging', '5'], '--paging is about the 64-bit entry'],
  ])('refuses %j as bad usage', async (args, message) => {
    const { code, stdout, stderr } = await firstlight(['boot', ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^firstlight: [^\n]+ \(see 'firstlight boot --help'\)\n$/);
    expect(stderr).toContain(message);
  });
});

describe('the nearest word', () => {
  it.each([
    ['ab', 'ba', 1],
    ['kitten', 'sitting', 3],
    ['', 'abc', 3],
    ['apend', 'append', 1],
  ])('%s and %s are %d apart', (from, to, off) => {
    expect(slips(from, to)).toBe(off);
  });

  it('is none where nothing is near', () => {
    expect(nearest('frob', ['boot', 'why'])).toBeUndefined();
  });
});

describe('arguments', () => {
  const usage: CommandUsage = {
    name: 'try',
    operand: 'IMAGE',
    summary: '',
    intro: ['What it does.'],
    outro: ['An example.'],
    options: [
      { name: 'size', value: 'SIZE', help: ['How large.', 'Very.'] },
      { name: 'fast', help: ['Quickly.'] },
    ],
  };

  it('are read in any order, with = or without', () => {
    const given = readArguments(usage, ['--fast', 'image', '--size=1']);
    expect(given).toEqual(readArguments(usage, ['--size', '1', 'image', '--fast']));
    expect(given).toEqual({
      values: new Map([['size', '1']]),
      all: new Map([['size', ['1']]]),
      switches: new Set(['fast']),
      operands: ['image'],
    });
  });

  it('given twice count the last time', () => {
    expect(readArguments(usage, ['--size', '1', '--size', '2']).values.get('size')).toBe('2');
  });

  it('given twice are all there', () => {
    expect(readArguments(usage, ['--size', '1', '--size', '2']).all.get('size')).toEqual(['1', '2']);
  });

  it('behind -- are operands', () => {
    expect(readArguments(usage, ['--', '--fast']).operands).toEqual(['--fast']);
  });

  it('may begin with dashes behind an =', () => {
    expect(readArguments(usage, ['--size=--fast']).values.get('size')).toBe('--fast');
  });

  it('make the help', () => {
    expect(helpText(usage)).toBe(`Usage: firstlight try IMAGE [options]

What it does.

Options:
  --size SIZE
      How large.
      Very.
  --fast
      Quickly.
  --help
      Show this help.

An example.
`);
  });
});
