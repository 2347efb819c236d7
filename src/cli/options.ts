// The options that every command which boots an image has, and what they amount to.

import { InputError } from '../bits/errors.ts';
import { MIB } from '../bits/sizes.ts';
import { entries, isProgram, protocolOf, readImage } from '../boot/boot.ts';
import { type CommandLine, type CommandLineRequest, guestOf, withOurWords } from '../run/cmdline.ts';
import { commandInitramfs } from '../boot/initramfs.ts';
import type { Entry, Module } from '../boot/protocol.ts';
import type { BootRun, Goal, RunConfig } from '../run/run.ts';
import type { Onward } from '../run/snapshot.ts';
import { STAGES } from '../run/stages.ts';
import { extraDevices } from '../machine/pciFunctions.ts';
import type { KernelImage } from '../image/image.ts';
import { openFile, originText, ukiOf } from '../image/open.ts';
import type { UnifiedImage } from '../image/uki.ts';
import { CPU_MODELS, DEFAULT_MODEL } from '../x86/models.ts';
import { findBusybox } from './busybox.ts';
import { openDisk } from './disks.ts';
import { readInput } from './files.ts';
import { type Given, type OptionRow, UsageError } from './usage.ts';
import { addressValue, choiceValue, countValue, seedValue, sizeValue, textValue } from './values.ts';

const DEFAULT_MEMORY = 512 * MIB;
const DEFAULT_MAX_INSTRUCTIONS = 20_000_000_000n;
/** Fifty years of a fast machine. */
const NO_LIMIT = 10n ** 18n;
/** No kernel image comes near it. */
const LARGEST_IMAGE = 1024 * MIB;

export const BOOT_OPTIONS: readonly OptionRow[] = [
  {
    name: 'entry',
    value: 'ENTRY',
    help: [
      '32 or 64: that entry point of the Linux boot protocol; multiboot or pvh: an',
      'ELF file by its Multiboot 1 header or its PVH note. Default: multiboot where',
      'an ELF file has that header, pvh where it has that note and is no Linux',
      'kernel; for other images 64 where they have it.',
    ],
  },
  {
    name: 'load-at',
    value: 'ADDR',
    help: [
      'Guest-physical address to load the image at, as in 0x1000000, 16M or 4G.',
      'Default: the one the image prefers (pref_address), else 1 MiB.',
    ],
  },
  {
    name: 'paging',
    value: '4|5',
    help: ['Levels of the page tables at the 64-bit entry; 5 sets CR4.LA57. Default: 4.'],
  },
  {
    name: 'cpu',
    value: 'NAME',
    help: [
      ...CPU_MODELS.map(({ name, summary }) => `${name}: ${summary}`),
      'Features may follow that it is to have or to do without, as in max,-la57,-pcid.',
      `Default: ${DEFAULT_MODEL}.`,
    ],
  },
  {
    name: 'memory',
    value: 'SIZE',
    help: ['RAM, as in 512M or 6G; what exceeds 3 GiB lies above 4 GiB. Default: 512M.'],
  },
  {
    name: 'no-apic',
    help: ['No local APIC and no I/O APIC: the two 8259A interrupt controllers only.'],
  },
  {
    name: 'append',
    value: 'TEXT',
    help: [
      "The kernel's command line. Before it stand the words that make a guest speak",
      'on the serial port, for Linux "earlyprintk=serial,ttyS0,115200 console=ttyS0"',
      '(Xen, GNU Mach and Memtest86+ get theirs), but for those that TEXT settles',
      'itself: any console=, any earlyprintk=.',
    ],
  },
  { name: 'no-default-append', help: ['The command line is what --append says, and nothing else.'] },
  {
    name: 'initrd',
    value: 'FILE',
    help: [
      'A file to load as initial RAM disk, or as the first module of a program',
      'that is entered by multiboot or pvh. Default: that of a unified kernel image.',
    ],
  },
  {
    name: 'module',
    value: 'FILE[ TEXT]',
    help: [
      'A module for a program that is entered by multiboot or pvh, and its command',
      "line (the file's name where there is none). May be given more than once.",
    ],
  },
  {
    name: 'until',
    value: 'STAGE',
    help: [
      'Where to stop. entry: before the first instruction; decompress: the stub',
      'begins to unpack the kernel; handoff: the first instruction of the',
      'unpacked kernel; banner: "Linux version" on the console; init: the first',
      'instruction in user mode. Default: banner.',
    ],
  },
  {
    name: 'max-instructions',
    value: 'N',
    help: ['Stop after so many guest instructions, as in 5e9, 2G or 1_000_000.', 'Default: 20G (2e10).'],
  },
  {
    name: 'seed',
    value: 'N',
    help: ['What RDRAND, RDSEED and RDTSC start from. The same seed, the same run.', 'Default: 0.'],
  },
  { name: 'json', help: ['Print one JSON object on stdout, and nothing else (docs/json.md).'] },
  {
    name: 'quiet',
    help: [
      'Say nothing where the run ends as asked, else how it ended, in one line. What',
      'the guest prints is shown; with --run, what the command prints.',
    ],
  },
];

/** What only a plain boot has: to go on into user space, to where the guest itself ends the run. */
export const END_OPTIONS: readonly OptionRow[] = [
  {
    name: 'until-text',
    value: 'TEXT',
    help: [
      'Stop when the guest has printed TEXT, or shows it on its text screen. Sets',
      '--until end, unless that is given.',
    ],
  },
  {
    name: 'screen',
    help: ["At the end, print the text screen of the guest's VGA on stdout."],
  },
  {
    name: 'exit-code',
    value: 'guest|own',
    help: [
      'guest: where the guest ends the run by writing a value to port 0xf4, exit with',
      'what QEMU exits with, (value << 1 | 1) of 8 bits, and take it for the end asked',
      'for. Default: own: 0 for the value 0, else 1.',
    ],
  },
  {
    name: 'safe-console',
    help: [
      'Print what the guest prints with all but printable ASCII, line ends and tabs',
      'as \\xNN, so that nothing in it acts on the terminal.',
    ],
  },
  {
    name: 'interactive',
    help: [
      'Connect the terminal to the serial port. Ctrl-A x leaves, Ctrl-A Ctrl-A',
      'sends Ctrl-A; Ctrl-C and all other keys are for the guest. Sets --until end',
      'and lifts the limit of instructions, unless they are given. The run then',
      'depends on what is typed, and when.',
    ],
  },
  {
    name: 'run',
    value: 'COMMAND',
    help: [
      'Make an initial RAM disk of busybox that runs a shell command and powers',
      'off, as in --run "uname -a; cat /proc/cpuinfo". What the command writes to',
      'stdout and stderr goes there, its status is the exit code, and it has nothing',
      'to read; the console goes to stderr, with --quiet nowhere. (With --interactive',
      'the command has the console.) Sets --until end.',
    ],
  },
  {
    name: 'busybox',
    value: 'FILE',
    help: ['The statically linked busybox for --run. Default: /bin/busybox or', '/usr/bin/busybox, where it is one.'],
  },
];

/** Whose exit code it is. Throws UsageError. */
export const exitCodeOption = ({ values }: Given): 'guest' | 'own' =>
  choiceValue('exit-code', values.get('exit-code') ?? 'own', ['guest', 'own'] as const);

/** What only a plain boot has: devices on the PCI bus. */
export const DEVICE_OPTIONS: readonly OptionRow[] = [
  {
    name: 'disk',
    value: 'FILE',
    help: [
      'A virtio disk with the contents of a file, which is only read: what the',
      'guest writes (512 MiB at most) is gone when the run ends. May be given',
      'more than once; the first is /dev/vda.',
    ],
  },
  {
    name: 'device',
    value: 'NAME',
    help: [
      'virtio-rng: a source of random numbers, which follow from --seed;',
      'virtio-console: a console, which --interactive types at where the last',
      'console= of --append is hvc0. May be given more than once. Without --disk',
      'and --device there is no PCI device but the host bridge.',
    ],
  },
];

/** The row of --until where a run can go on to its end. @param defaults what it is where it is not given */
const untilEnd =
  (defaults: readonly string[]) =>
  (row: OptionRow): OptionRow =>
    row.name !== 'until'
      ? row
      : {
          ...row,
          help: [
            ...row.help.slice(0, -1),
            'instruction in user mode; end: the guest powers off, resets or dies.',
            ...defaults,
          ],
        };

export const withEnd = untilEnd([
  'Default: banner; with --run, --until-text and --interactive end, and for',
  'programs that are entered by Multiboot or PVH.',
]);
export const withFarthest = untilEnd([
  'Default: init, or the end that comes before; for programs that are no Linux',
  'kernel end.',
]);

/** Every stage, and the end of the run by the guest itself. */
export const GOALS: readonly Goal[] = [...STAGES, 'end'];

/** The image given: parsed, and in a configuration that differs from what BootRun takes in nothing. */
export type BootInput = {
  readonly config: RunConfig;
  readonly image: KernelImage;
  /** Words that are not on the command line because they would make it too long. */
  readonly leftOut: string;
};

/**
 * Reads the options and the files they name. Throws UsageError and InputError.
 * @param farthest the goal is how far a kernel can come, where none is given; else its first line
 */
export function readBootInput(given: Given, imagePath: string, farthest: boolean): BootInput {
  const options = runOptions(given, GOALS);
  const { image, origin, uki } = openNamed(
    imagePath,
    readInput(imagePath, LARGEST_IMAGE, 'any kernel image has'),
    options.entry,
  );
  const until = options.until ?? defaultGoal(options.entry, image, farthest);
  const initrd = readInitrd(given, options.memoryBytes) ?? uki?.initrd;
  const modules = given.all.get('module')?.map((text) => readModule(text, options.memoryBytes));
  const line = given.values.get('append') ?? uki?.cmdline ?? '';
  const request = { image, entry: options.entry, given: line, modules, initrd: initrd !== undefined };
  const { leftOut, ...lines } = linesOf(given, request);
  return {
    config: { ...options, ...lines, until, image: image.bytes, origin: withParts(origin, given, uki), initrd },
    image,
    leftOut,
  };
}

/** A program of its own has no banner to wait for. */
function defaultGoal(entry: Entry | undefined, image: KernelImage, farthest: boolean): Goal {
  if (farthest) return isProgram(entry, image) && guestOf(image, entry)?.name !== 'Linux' ? 'end' : 'init';
  return protocolOf(entry, image).stages(image).goal;
}

/** The command lines of the guest and of its modules. */
function linesOf({ values, switches }: Given, request: CommandLineRequest): CommandLine {
  const isLinux = values.has('run');
  if (!switches.has('no-default-append')) return withOurWords({ ...request, isLinux });
  return { cmdline: request.given, cmdlineAdded: '', modules: request.modules, leftOut: '' };
}

/** The file's name ends at the first space. */
function readModule(value: string, limit: number): Module {
  const [path = '', ...words] = value.split(' ');
  const text = words.length > 0 ? words.join(' ') : (path.split('/').at(-1) ?? '');
  return { bytes: readInput(path, limit, 'the guest has RAM'), text };
}

/** The file given, or one made for the command given. @param limit bytes of RAM */
function readInitrd({ values, switches }: Given, limit: number): Uint8Array | undefined {
  const [path, command, busybox] = [values.get('initrd'), values.get('run'), values.get('busybox')];
  if (command === undefined) {
    if (busybox !== undefined) throw new UsageError('--busybox is for --run; without that it has no use');
    return path === undefined ? undefined : readInput(path, limit, 'the guest has RAM');
  }
  if (path !== undefined) throw new UsageError('--run makes the initial RAM disk itself; leave --initrd or --run away');
  return commandInitramfs(command, findBusybox(busybox), switches.has('interactive') ? 'terminal' : 'apart');
}

type RunOptions = Omit<RunConfig, 'image' | 'initrd' | 'until' | 'cmdline' | 'cmdlineAdded' | 'modules'> & {
  readonly until: Goal | undefined;
};

/** `until` is undefined where it depends on the image. */
function runOptions(given: Given, goals: readonly Goal[]): RunOptions {
  const { values } = given;
  const interactive = given.switches.has('interactive');
  const convert = <T>(name: string, value: (option: string, text: string) => T): T | undefined => {
    const text = values.get(name);
    return text === undefined ? undefined : value(name, text);
  };
  const extras = given.all.get('device')?.map((text) => choiceValue('device', text, extraDevices()));
  const choice = <T extends string | number>(name: string, choices: readonly T[]): T | undefined =>
    convert(name, (option, text) => choiceValue(option, text, choices));
  return {
    entry: choice('entry', entries()),
    loadAt: convert('load-at', addressValue),
    paging: choice('paging', [4, 5]),
    cpu: values.get('cpu') ?? DEFAULT_MODEL,
    memoryBytes: convert('memory', sizeValue) ?? DEFAULT_MEMORY,
    until: choice('until', goals) ?? (values.has('run') || values.has('until-text') || interactive ? 'end' : undefined),
    untilText: convert('until-text', textValue),
    maxInstructions: convert('max-instructions', countValue) ?? (interactive ? NO_LIMIT : DEFAULT_MAX_INSTRUCTIONS),
    command: values.get('run'),
    seed: convert('seed', seedValue) ?? 0,
    apic: !given.switches.has('no-apic'),
    extras,
    disks: given.all.get('disk')?.map(openDisk),
  };
}

/** Of the options those that a saved run is gone on with. Throws UsageError and InputError. */
export function onwardOptions(given: Given, goals: readonly Goal[]): Onward {
  const { until, untilText, maxInstructions, disks } = runOptions(given, goals);
  return { until: given.values.has('until') && until !== undefined ? until : 'end', untilText, maxInstructions, disks };
}

/** Says what of a unified kernel image is used beside its kernel. */
function withParts(origin: string | undefined, { values }: Given, uki: UnifiedImage | undefined): string | undefined {
  const line = uki?.cmdline === undefined || values.has('append') ? [] : [`its command line "${uki.cmdline}"`];
  const disk = uki?.initrd === undefined || values.has('initrd') || values.has('run') ? [] : ['its initial RAM disk'];
  const parts = [...line, ...disk].join(' and ');
  return parts === '' ? origin : `${origin} with ${parts}`;
}

type NamedImage = {
  readonly image: KernelImage;
  readonly origin: string | undefined;
  /** Kernel, command line and initial RAM disk in one file: the latter two are for where the options name none. */
  readonly uki: UnifiedImage | undefined;
};

/** Opens what the image is packed in. Says which file it is that cannot be used. */
function openNamed(path: string, bytes: Uint8Array, entry: Entry | undefined): NamedImage {
  try {
    const opened = openFile(bytes);
    return { image: readImage(opened.bytes, entry), origin: originText(opened.layers), uki: ukiOf(opened) };
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`cannot boot '${path}': ${error.message}`);
    throw error;
  }
}

/** The one operand there may be. */
export function imageOperand({ operands }: Given): string | undefined {
  const [path, extra] = operands;
  if (extra !== undefined) throw new UsageError(`one image at a time; '${extra}' is one too many`);
  return path;
}

/** What can be told only once it is known which entry the image is entered by. */
export function checkAgainstEntry(run: BootRun): void {
  if (run.boot.entry === 32 && run.config.paging !== undefined) {
    throw new UsageError('--paging is about the 64-bit entry; at the 32-bit entry paging is off');
  }
}
