// `firstlight audit FILE...`: what is wrong with images, objects and kernels, told from the files alone.

import { dirname, isAbsolute, relative, resolve, sep } from 'node:path';
import { auditFiles } from '../../audit/audit.ts';
import type { AuditInput, AuditOptions } from '../../audit/options.ts';
import { auditLinkCommand, type LinkAudit } from '../../audit/objects/audit.ts';
import type { AuditReport } from '../../audit/types.ts';
import { InputError } from '../../bits/errors.ts';
import { MIB } from '../../bits/sizes.ts';
import { isThinArchive, thinMemberNames } from '../../image/archive.ts';
import { type KernelConfig, parseKernelConfig } from '../../image/kernelConfig.ts';
import { parseSymbols } from '../../image/symbols.ts';
import { LOOK_OPTIONS } from '../../options/looks.ts';
import { type Given, optionsOf } from '../../options/row.ts';
import { UsageError } from '../../options/usageError.ts';
import { type AuditedFile, auditLines, countFindings, quietAuditLines } from '../../report/audit.ts';
import { auditJson } from '../../report/auditJson.ts';
import { sarifLog } from '../../report/sarif.ts';
import type { Command } from '../command.ts';
import { EXIT } from '../exit.ts';
import { aboutFile, readInput } from '../files.ts';
import type { Io } from '../io.ts';
import { Screen } from '../screen.ts';
import type { CommandUsage } from '../usage.ts';
import { version } from '../version.ts';

/** A vmlinux with debug information has some 400 MiB. */
const LARGEST_FILE = 1024 * MIB;
const LARGEST_CONFIG = 16 * MIB;
const LARGEST_LOG = 256 * MIB;

export const auditUsage: CommandUsage = {
  name: 'audit',
  operand: 'FILE...',
  summary: 'say what would keep it from booting, without running it',
  intro: [
    'Looks for what keeps a kernel from booting, without running anything. Each FILE is a bzImage, the',
    "boot stub's ELF file (arch/x86/boot/compressed/vmlinux), an object file or archive of the stub, a",
    'kernel vmlinux, or a Multiboot or PVH file, of which the headers are looked at. Compressed files are',
    'unpacked, unified kernel images opened, members of a thin archive read from beside it. Objects given',
    'together are taken as parts of one link.',
  ],
  options: optionsOf('audit', LOOK_OPTIONS),
  outro: [
    'Exit codes: 0 no findings (notes alone are none), 1 findings, 2 bad usage, or a file that',
    'cannot be used: the others are audited all the same.',
    '',
    'Examples:',
    '  firstlight audit arch/x86/boot/bzImage --symbols arch/x86/boot/compressed/vmlinux',
    '  firstlight audit arch/x86/boot/compressed/*.o --build-log make.log --sarif > audit.sarif',
  ],
};

type Form = 'text' | 'quiet' | 'json' | 'sarif';

/** What audits files; the tests of what stands around it put their own here. */
export type Auditor = typeof auditFiles;

export const auditCommand = (auditor: Auditor): Command => ({
  usage: auditUsage,
  async run(given, io) {
    const form = formOf(given);
    const paths = pathsOf(given);
    const options = readAuditOptions(given);
    const { files, failures } = auditAll(paths, options, auditor);
    const screen = new Screen(io);
    for (const text of failures) screen.say(text.replace(/\s+/g, ' '), 'bad');
    const code = failures.length > 0 ? EXIT.usage : countFindings(files) > 0 ? EXIT.findings : EXIT.clean;
    // What cannot be used at all has no report.
    if (files.length > 0) print(form, files, { failures, code }, screen, io);
    return code;
  },
});

export const audit = auditCommand(auditFiles);

function formOf({ switches }: Given): Form {
  if (switches.has('json') && switches.has('sarif')) throw new UsageError('--json and --sarif exclude each other');
  if (switches.has('json')) return 'json';
  if (switches.has('sarif')) return 'sarif';
  return switches.has('quiet') ? 'quiet' : 'text';
}

function pathsOf({ operands }: Given): readonly string[] {
  if (operands.length === 0) throw new UsageError('no file given');
  return operands;
}

/** Reads the files that options name. Throws UsageError and InputError. */
export function readAuditOptions({ values, switches }: Given): AuditOptions {
  const symbolsPath = values.get('symbols');
  const configPath = values.get('config');
  const link = linkOption(values);
  return {
    ...(symbolsPath === undefined
      ? {}
      : { symbols: parseSymbols(readInput(symbolsPath, LARGEST_FILE, 'symbols need')) }),
    ...(configPath === undefined ? {} : { config: named(configPath, () => configAt(configPath)) }),
    ...(link === undefined ? {} : { link }),
    ...(switches.has('payload') ? { payload: true } : {}),
  };
}

const configAt = (path: string): KernelConfig => parseKernelConfig(readText(path, LARGEST_CONFIG, 'a .config has'));

function linkOption(values: Given['values']): LinkAudit | undefined {
  const command = values.get('link-command');
  const log = values.get('build-log');
  if (command !== undefined && log !== undefined)
    throw new UsageError('--link-command and --build-log exclude each other');
  if (command !== undefined) return named('--link-command', () => auditLinkCommand(command));
  if (log === undefined) return undefined;
  return named(log, () => auditLinkCommand(readText(log, LARGEST_LOG, 'a build log may have')));
}

/** Says which of the inputs it is that cannot be used. */
function named<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof InputError && !error.message.includes(`'${name}'`))
      throw new InputError(`cannot use '${name}': ${error.message}`);
    throw error;
  }
}

const readText = (path: string, limit: number, bound: string): string =>
  new TextDecoder().decode(readInput(path, limit, bound));

type Audited = { readonly files: readonly AuditedFile[]; readonly failures: readonly string[] };

/** What can be used is audited; of what cannot there is a message. */
function auditAll(paths: readonly string[], options: AuditOptions, auditor: Auditor): Audited {
  const failures: string[] = [];
  const inputs = paths.flatMap((name): AuditInput[] => {
    const input = attempt(() => inputAt(name), failures);
    return input === undefined ? [] : [input];
  });
  return { files: auditUsable(inputs, options, failures, auditor), failures };
}

function inputAt(name: string): AuditInput {
  const bytes = readInput(name, LARGEST_FILE, 'any kernel has');
  return isThinArchive(bytes) ? { name, bytes, members: membersBeside(name, bytes) } : { name, bytes };
}

/** All members of a thin archive together; those of a kernel's stub have some 2 MiB. */
const LARGEST_MEMBERS = 256 * MIB;

/** A thin archive names files by their path from its own folder. One that is not there ends in an InputError. */
function membersBeside(archive: string, bytes: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const members = new Map<string, Uint8Array>();
  let left = LARGEST_MEMBERS;
  for (const member of namesIn(archive, bytes)) {
    if (members.has(member)) continue;
    const read = named(archive, () =>
      readInput(resolve(dirname(archive), member), left, 'the members of a thin archive may have together'),
    );
    members.set(member, read);
    left -= read.length;
  }
  return members;
}

function namesIn(archive: string, bytes: Uint8Array): string[] {
  try {
    return thinMemberNames(bytes);
  } catch (error) {
    if (error instanceof InputError) throw aboutFile('cannot audit', archive, error.message);
    throw error;
  }
}

function auditUsable(
  inputs: readonly AuditInput[],
  options: AuditOptions,
  failures: string[],
  auditor: Auditor,
): AuditedFile[] {
  if (inputs.length === 0) return [];
  try {
    return auditor(inputs, options).map((report, index) => ({ name: inputs[index]?.name ?? '', report }));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    // One of them cannot be used; each alone tells which.
    const usable = inputs.filter((input) => attempt(() => auditAlone(input, options, auditor), failures) !== undefined);
    if (usable.length === inputs.length) throw error;
    return auditUsable(usable, options, failures, auditor);
  }
}

function auditAlone(input: AuditInput, options: AuditOptions, auditor: Auditor): readonly AuditReport[] {
  try {
    return auditor([input], options);
  } catch (error) {
    if (error instanceof InputError) throw aboutFile('cannot audit', input.name, error.message);
    throw error;
  }
}

function attempt<T>(work: () => T, failures: string[]): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    failures.push(error.message);
    return undefined;
  }
}

type End = { readonly failures: readonly string[]; readonly code: number };

function print(form: Form, files: readonly AuditedFile[], { failures, code }: End, screen: Screen, io: Io): void {
  switch (form) {
    case 'text':
      return screen.report(auditLines(files, failures.length));
    case 'quiet':
      return void io.stdout.write(`${quietAuditLines(files, failures.length).join('\n')}\n`);
    case 'json':
      return printJson(auditJson(files), io);
    case 'sarif':
      return printJson(sarifLog(files.map(fromHere), { version: version(), exitCode: code, failures }), io);
  }
}

const printJson = (value: unknown, io: Io): void => void io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);

/** Code-scanning tools know files by their path from the root of the sources, where they are run. */
function fromHere({ name, report }: AuditedFile): AuditedFile {
  const path = relative('', resolve(name));
  const outside = path === '..' || /^\.\.[\\/]/.test(path) || isAbsolute(path);
  return { name: outside ? resolve(name) : sep === '\\' ? path.replaceAll(sep, '/') : path, report };
}
