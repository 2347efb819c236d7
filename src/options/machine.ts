// Options about what is booted and in which machine, of all commands that boot an image.

import { MIB } from '../bits/sizes.ts';
import { entries } from '../boot/boot.ts';
import type { Goal } from '../run/outcome.ts';
import { STAGES } from '../run/stages.ts';
import { CPU_MODELS, DEFAULT_MODEL } from '../x86/models.ts';
import { DEFAULT_MAX_INSTRUCTIONS, DEFAULT_MEMORY, LINUX_WORDS } from './defaults.ts';
import type { OptionRow } from './row.ts';
import { addressValue, choiceOf, choiceValue, countValue, seedValue, sizeValue } from './values.ts';

const BOOTS = ['boot', 'why'];
/** Every stage, and the end of the run by the guest itself. */
const GOALS: readonly Goal[] = [...STAGES, 'end'];

export const MACHINE_OPTIONS: readonly OptionRow[] = [
  {
    name: 'entry',
    value: 'ENTRY',
    commands: BOOTS,
    field: 'entry',
    parse: (option, text) => choiceValue(option, text, entries()),
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
    commands: BOOTS,
    field: 'loadAt',
    parse: addressValue,
    help: [
      'Guest-physical address to load the image at, as in 0x1000000, 16M or 4G.',
      'Default: the one the image prefers (pref_address), else 1 MiB.',
    ],
  },
  {
    name: 'paging',
    value: '4|5',
    commands: BOOTS,
    field: 'paging',
    parse: choiceOf([4, 5] as const),
    help: ['Levels of the page tables at the 64-bit entry; 5 sets CR4.LA57. Default: 4.'],
  },
  {
    name: 'cpu',
    value: 'NAME',
    commands: BOOTS,
    field: 'cpu',
    default: DEFAULT_MODEL,
    // Models and features are known to the machine, which refuses what there is not.
    parse: (_option, text) => text,
    help: [
      ...CPU_MODELS.map(({ name, summary }) => `${name}: ${summary}`),
      'Features may follow that it is to have or to do without, as in max,-la57,-pcid.',
      `Default: ${DEFAULT_MODEL}.`,
    ],
  },
  {
    name: 'memory',
    value: 'SIZE',
    commands: BOOTS,
    field: 'memoryBytes',
    parse: sizeValue,
    default: DEFAULT_MEMORY,
    help: [`RAM, as in 512M or 6G; what exceeds 3 GiB lies above 4 GiB. Default: ${DEFAULT_MEMORY / MIB}M.`],
  },
  {
    name: 'no-apic',
    commands: BOOTS,
    field: 'apic',
    given: false,
    default: true,
    help: ['No local APIC and no I/O APIC: the two 8259A interrupt controllers only.'],
  },
  {
    name: 'append',
    value: 'TEXT',
    commands: BOOTS,
    // What stands before it hangs on the image.
    field: 'cmdline',
    help: [
      "The kernel's command line. Before it stand the words that make a guest speak",
      `on the serial port, for Linux "${LINUX_WORDS}"`,
      '(Xen, GNU Mach and Memtest86+ get theirs), but for those that TEXT settles',
      'itself: any console=, any earlyprintk=.',
    ],
  },
  {
    name: 'no-default-append',
    commands: BOOTS,
    help: ['The command line is what --append says, and nothing else.'],
  },
  {
    name: 'initrd',
    value: 'FILE',
    commands: BOOTS,
    field: 'initrd',
    file: 'part',
    help: [
      'A file to load as initial RAM disk, or as the first module of a program',
      'that is entered by multiboot or pvh. Default: that of a unified kernel image.',
    ],
  },
  {
    name: 'module',
    value: 'FILE[ TEXT]',
    commands: BOOTS,
    field: 'modules',
    repeats: true,
    file: 'part',
    help: [
      'A module for a program that is entered by multiboot or pvh, and its command',
      "line (the file's name where there is none). May be given more than once.",
    ],
  },
  {
    name: 'until',
    value: 'STAGE',
    commands: BOOTS,
    besideRestore: true,
    field: 'until',
    parse: choiceOf(GOALS),
    help: [
      'Where to stop. entry: before the first instruction; decompress: the stub',
      'begins to unpack the kernel; handoff: the first instruction of the',
      'unpacked kernel; banner: "Linux version" on the console; init: the first',
      'instruction in user mode; end: the guest powers off, resets or dies.',
      'Default: banner; with --run, --until-text and --interactive end, and for',
      'programs that are entered by Multiboot or PVH.',
    ],
    helpFor: {
      why: [
        'Where to stop. entry: before the first instruction; decompress: the stub',
        'begins to unpack the kernel; handoff: the first instruction of the',
        'unpacked kernel; banner: "Linux version" on the console; init: the first',
        'instruction in user mode; end: the guest powers off, resets or dies.',
        'Default: init, or the end that comes before; for programs that are no Linux',
        'kernel end.',
      ],
    },
  },
  {
    name: 'max-instructions',
    value: 'N',
    commands: BOOTS,
    besideRestore: true,
    field: 'maxInstructions',
    parse: countValue,
    default: DEFAULT_MAX_INSTRUCTIONS,
    help: [
      'Stop after so many guest instructions, as in 5e9, 2G or 1_000_000.',
      `Default: ${DEFAULT_MAX_INSTRUCTIONS / 1_000_000_000n}G (2e10).`,
    ],
  },
  {
    name: 'seed',
    value: 'N',
    commands: BOOTS,
    field: 'seed',
    parse: seedValue,
    default: 0,
    help: ['What RDRAND, RDSEED and RDTSC start from. The same seed, the same run.', 'Default: 0.'],
  },
];

/** Not beside those of the machine: the order of the help. */
export const WHY_SYMBOLS: OptionRow = {
  name: 'symbols',
  value: 'FILE',
  commands: ['why'],
  file: 'read',
  help: ["The stub's ELF file (arch/x86/boot/compressed/vmlinux) or a System.map, to name", 'what is found.'],
};
