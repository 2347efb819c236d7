// Options that only a plain boot has: where it ends, what its end amounts to, who talks with it, devices, snapshots.

import { extraDevices } from '../machine/pciFunctions.ts';
import { STAGES } from '../run/stages.ts';
import { NO_LIMIT } from './defaults.ts';
import type { OptionRow } from './row.ts';
import { choiceOf, choiceValue, textValue } from './values.ts';

const BOOT = ['boot'];

/** Whose exit code it is. */
export const EXIT_CODE = {
  name: 'exit-code',
  value: 'guest|own',
  commands: BOOT,
  besideRestore: true,
  parse: choiceOf(['guest', 'own'] as const),
  default: 'own',
  help: [
    'guest: where the guest ends the run by writing a value to port 0xf4, exit with',
    'what QEMU exits with, (value << 1 | 1) of 8 bits, and take it for the end asked',
    'for. Default: own: 0 for the value 0, else 1.',
  ],
} as const satisfies OptionRow;

/** To go on into user space, to where the guest itself ends the run. */
const END_OPTIONS: readonly OptionRow[] = [
  {
    name: 'until-text',
    value: 'TEXT',
    commands: BOOT,
    besideRestore: true,
    field: 'untilText',
    parse: textValue,
    implies: { until: 'end' },
    help: [
      'Stop when the guest has printed TEXT, or shows it on its text screen. Sets',
      '--until end, unless that is given.',
    ],
  },
  {
    name: 'screen',
    commands: BOOT,
    besideRestore: true,
    help: ["At the end, print the text screen of the guest's VGA on stdout."],
  },
  EXIT_CODE,
  {
    name: 'safe-console',
    commands: BOOT,
    besideRestore: true,
    help: [
      'Print what the guest prints with all but printable ASCII, line ends and tabs',
      'as \\xNN, so that nothing in it acts on the terminal.',
    ],
  },
  {
    name: 'interactive',
    commands: BOOT,
    besideRestore: true,
    implies: { until: 'end', maxInstructions: NO_LIMIT },
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
    commands: BOOT,
    field: 'command',
    parse: (_option, text) => text,
    implies: { until: 'end' },
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
    commands: BOOT,
    file: 'part',
    help: ['The statically linked busybox for --run. Default: /bin/busybox or', '/usr/bin/busybox, where it is one.'],
  },
];

/** Devices on the PCI bus. */
const DEVICE_OPTIONS: readonly OptionRow[] = [
  {
    name: 'disk',
    value: 'FILE',
    commands: BOOT,
    field: 'disks',
    repeats: true,
    besideRestore: true,
    file: 'part',
    help: [
      'A virtio disk with the contents of a file, which is only read: what the',
      'guest writes (512 MiB at most) is gone when the run ends. May be given',
      'more than once; the first is /dev/vda.',
    ],
  },
  {
    name: 'device',
    value: 'NAME',
    commands: BOOT,
    field: 'extras',
    repeats: true,
    parse: (option, text) => choiceValue(option, text, extraDevices()),
    help: [
      'virtio-rng: a source of random numbers, which follow from --seed;',
      'virtio-console: a console, which --interactive types at where the last',
      'console= of --append is hvc0. May be given more than once. Without --disk',
      'and --device there is no PCI device but the host bridge.',
    ],
  },
];

/** The stage at which a run is to be saved; where it stops, if undefined. */
export const SAVE_AT = {
  name: 'save-at',
  value: 'STAGE',
  commands: BOOT,
  besideRestore: true,
  parse: choiceOf(STAGES),
  default: undefined,
  help: ['With --save: save when that stage is reached, and go on to --until.'],
} as const satisfies OptionRow;

const SNAPSHOT_OPTIONS: readonly OptionRow[] = [
  {
    name: 'save',
    value: 'FILE',
    commands: BOOT,
    besideRestore: true,
    file: 'written',
    help: [
      'Save the run where it stops (a stage, an instruction limit, Ctrl-A x), for',
      '--restore. A run that the guest has ended is not saved.',
    ],
  },
  SAVE_AT,
  {
    name: 'restore',
    value: 'FILE',
    commands: BOOT,
    besideRestore: true,
    file: 'read',
    help: [
      'Go on with a saved run, as if it had never stopped; IMAGE and the options of',
      'the machine are in the file and not given again, except --disk. The counts',
      'of --max-instructions go on too. Sets --until end unless that is given.',
    ],
  },
];

export const ONLY_BOOT_OPTIONS: readonly OptionRow[] = [...END_OPTIONS, ...DEVICE_OPTIONS, ...SNAPSHOT_OPTIONS];
