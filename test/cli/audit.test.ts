// The command around an audit: arguments, files, forms, exit codes. The audit itself is stood in for.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuditReport } from '../../src/audit/types.ts';
import { InputError } from '../../src/bits/errors.ts';
import { type Auditor, auditCommand, auditUsage } from '../../src/cli/commands/audit.ts';
import { CLEAN, NOTE, OBJECT, REPORT } from '../report/auditReports.ts';
import { firstlight, sample } from './fakeIo.ts';

const auditFiles = vi.fn<Auditor>();
const command = auditCommand(auditFiles);

/** What the first byte of a file is taken for. */
const KINDS: Record<string, AuditReport> = {
  b: REPORT,
  c: CLEAN,
  n: { ...CLEAN, notes: [NOTE] },
  o: OBJECT,
};

function reportOf(bytes: Uint8Array): AuditReport {
  const report = KINDS[String.fromCharCode(bytes[0] ?? 0)];
  if (report) return report;
  throw new InputError('this is no kernel');
}

let folder = '';
const file = (name: string): string => join(folder, name);
const audit = (...args: string[]) => firstlight(['audit', ...args], { command });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'firstlight-audit-'));
  for (const name of ['bad', 'clean', 'note', 'object.o', 'x']) writeFileSync(file(name), name);
  mkdirSync(file('folder'));
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  auditFiles.mockReset();
  auditFiles.mockImplementation((inputs) => inputs.map(({ bytes }) => reportOf(bytes)));
});

describe('firstlight audit', () => {
  it.each([
    ['bad', 1, '1 finding in 1 file.'],
    ['clean', 0, 'No findings in 1 file.'],
    ['note', 0, 'No findings in 1 file.'],
  ])('of %s ends with %d', async (name, code, end) => {
    const said = await audit(file(name));
    expect(said).toMatchObject({ code, stderr: '' });
    expect(said.stdout.startsWith(`${file(name)}\n  bzImage 6.1`)).toBe(true);
    expect(said.stdout.endsWith(`\n\n${end}\n`)).toBe(true);
  });

  it('hands over all files at once, so that objects see each other', async () => {
    await audit(file('object.o'), file('clean'));
    const inputs = auditFiles.mock.calls[0]?.[0];
    expect(inputs?.map(({ name, bytes }) => [name, Buffer.from(bytes).toString()])).toEqual([
      [file('object.o'), 'object.o'],
      [file('clean'), 'clean'],
    ]);
  });

  it('hands over what the options say', async () => {
    writeFileSync(file('.config'), 'CONFIG_X86_5LEVEL=y\n');
    writeFileSync(file('log'), 'ld -pie\n');
    await audit(file('bad'), '--symbols', sample('bad.elf'), '--config', file('.config'), '--build-log', file('log'));
    await audit(file('bad'), '--link-command', 'ld -o vmlinux', '--payload');
    await audit(file('bad'));
    expect(auditFiles.mock.calls.map(([, options]) => options)).toEqual([
      {
        symbols: expect.objectContaining({ symbols: expect.any(Array) as unknown }) as unknown,
        config: { options: new Map([['X86_5LEVEL', 'y']]), version: undefined },
        link: expect.objectContaining({ link: expect.objectContaining({ pie: true }) as unknown }) as unknown,
      },
      {
        link: expect.objectContaining({ link: expect.objectContaining({ pie: false }) as unknown }) as unknown,
        payload: true,
      },
      {},
    ]);
  });

  it.each([
    ['--config', 'a kernel configuration'],
    ['--build-log', 'link command'],
  ])('says once that what %s names cannot be used', async (option, words) => {
    writeFileSync(file('nothing'), 'nothing\n');
    const { code, stdout, stderr } = await audit(file('bad'), file('bad'), option, file('nothing'));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(`cannot use '${file('nothing')}': `);
    expect(stderr).toContain(words);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it('colours on a terminal only', async () => {
    const ESCAPE = '\x1b[';
    expect((await audit(file('bad'))).stdout).not.toContain(ESCAPE);
    const shown = await firstlight(['audit', file('bad')], { command, terminal: true });
    expect(shown.stdout).toContain(`${ESCAPE}31mFINDING 1: position-dependent-reference`);
  });

  it('fits a narrow terminal', async () => {
    const { stdout } = await firstlight(['audit', file('bad')], {
      command,
      terminal: true,
      columns: 70,
      env: { NO_COLOR: '1' },
    });
    // Rows of facts stay whole.
    const prose = stdout.split('\n').filter((line) => !line.includes(folder) && !line.startsWith('    '));
    expect(Math.max(...prose.map((line) => line.length))).toBeLessThanOrEqual(70);
  });

  it('--quiet says the findings in a line each, and their number', async () => {
    expect((await audit(file('bad'), file('clean'), '--quiet')).stdout).toBe(
      `${file('bad')}: error: position-dependent-reference: mov $0x18040,%rsi at file offset 0x1a280 in paging_prepare+0x140, address of trampoline_32bit_src (confidence high)\n1 finding in 1 of 2 files.\n`,
    );
  });

  it('--json prints one object and nothing else', async () => {
    const { code, stdout, stderr } = await audit(file('bad'), file('note'), '--json', '--quiet');
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({
      files: [{ name: file('bad') }, { name: file('note') }],
      findings: [{ file: file('bad'), rule: 'position-dependent-reference', fileOffset: 0x1a280 }],
      notes: [{ file: file('bad') }, { file: file('note') }],
    });
  });

  it('--sarif prints one log and nothing else, files outside the working directory with their full path', async () => {
    const { code, stdout, stderr } = await audit(file('bad'), '--sarif');
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({
      version: '2.1.0',
      runs: [
        {
          tool: { driver: { version: expect.stringMatching(/^\d+\.\d+\.\d+/) as unknown } },
          invocations: [{ executionSuccessful: true, exitCode: 1 }],
          artifacts: [{ location: { uri: `file://${file('bad')}` } }],
        },
      ],
    });
  });

  it('--sarif names files by their path from the working directory', async () => {
    auditFiles.mockReturnValue([CLEAN, CLEAN]);
    const { stdout } = await audit(sample('bad.bzImage'), './package.json', '--sarif');
    const { runs } = JSON.parse(stdout) as { runs: { artifacts: { location: { uri: string } }[] }[] };
    expect(runs[0]?.artifacts.map(({ location }) => location.uri)).toEqual([
      'samples/built/bad.bzImage',
      'package.json',
    ]);
  });
});

describe('firstlight audit of what cannot be used', () => {
  it.each([
    [['missing'], "cannot read 'missing': no such file"],
    [['folder'], "cannot read 'folder': it is a directory"],
    [['x'], "cannot audit 'x': this is no kernel"],
  ])('%j: one line, nothing on stdout, 2', async (names, message) => {
    for (const form of [[], ['--json'], ['--sarif'], ['--quiet']]) {
      const { code, stdout, stderr } = await audit(...names.map(file), ...form);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr.replaceAll(`${folder}/`, '')).toBe(`firstlight: ${message}\n`);
    }
  });

  it('audits the other files, and ends with 2', async () => {
    const { code, stdout, stderr } = await audit(file('missing'), file('bad'), file('x'), file('clean'));
    expect(code).toBe(2);
    expect(stderr.replaceAll(`${folder}/`, '')).toBe(
      "firstlight: cannot read 'missing': no such file\nfirstlight: cannot audit 'x': this is no kernel\n",
    );
    expect(stdout).toContain('FINDING 1: ');
    expect(stdout.endsWith('\n1 finding in 1 of 2 files; 2 files could not be audited.\n')).toBe(true);
  });

  it('--sarif says so in the log', async () => {
    const { code, stdout } = await audit(file('clean'), file('missing'), '--sarif');
    expect({ code, log: JSON.parse(stdout) }).toMatchObject({
      code: 2,
      log: {
        runs: [
          {
            invocations: [
              {
                executionSuccessful: false,
                exitCode: 2,
                toolExecutionNotifications: [{ message: { text: `cannot read '${file('missing')}': no such file` } }],
              },
            ],
          },
        ],
      },
    });
  });

  it('names no file where only all of them together cannot be used', async () => {
    auditFiles.mockImplementation((inputs) => {
      if (inputs.length > 1) throw new InputError('two objects define the same symbol');
      return inputs.map(({ bytes }) => reportOf(bytes));
    });
    expect(await audit(file('bad'), file('clean'))).toMatchObject({
      code: 2,
      stdout: '',
      stderr: 'firstlight: two objects define the same symbol\n',
    });
  });

  it('is told from a bug of ours', async () => {
    auditFiles.mockImplementation(() => {
      throw new TypeError('undefined is not a function');
    });
    expect(await audit(file('bad'))).toMatchObject({ code: 70, stdout: '' });
  });

  it.each([
    [['--symbols', 'missing'], "cannot read 'missing': no such file"],
    [['--config', 'folder'], "cannot read 'folder': it is a directory"],
    [['--build-log', 'missing'], "cannot read 'missing': no such file"],
    [['--symbols', 'x'], 'line 1 of the symbols file is no System.map line'],
  ])('names a file of an option that cannot be used: %j', async ([option = '', name = ''], message) => {
    const { code, stdout, stderr } = await audit(file('bad'), option, file(name));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.replaceAll(`${folder}/`, '')).toContain(`firstlight: ${message}`);
  });
});

describe('the arguments of firstlight audit', () => {
  it.each([
    [[], 'no file given'],
    [['x', '--json', '--sarif'], '--json and --sarif exclude each other'],
    [['x', '--link-command', 'ld', '--build-log', 'y'], '--link-command and --build-log exclude each other'],
    [['x', '--config'], '--config needs a value, FILE'],
    [['x', '--seed', '1'], "unknown option '--seed'"],
  ])('refused as bad usage: %j', async (args, message) => {
    const { code, stdout, stderr } = await audit(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toBe(`firstlight: ${message} (see 'firstlight audit --help')\n`);
  });

  it('are explained by --help, and so are the exit codes', async () => {
    const { code, stdout } = await audit('--help');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Usage: firstlight audit FILE\.\.\. \[options\]\n/);
    for (const { name } of auditUsage.options) expect(stdout).toMatch(new RegExp(`^ {2}--${name}\\b.*\\n {6}\\S`, 'm'));
    expect(stdout).toContain('Exit codes: 0 no findings');
  });

  it('are in the general help', async () => {
    expect((await firstlight(['--help'])).stdout).toMatch(/firstlight audit FILE\.\.\. {2,}say what would/);
  });
});
