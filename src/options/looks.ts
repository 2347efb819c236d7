// Options of the commands that only look at files. Nothing here loads what runs a guest.

import { OUTPUT_OPTIONS } from './output.ts';
import type { OptionRow } from './row.ts';
import { seedValue } from './values.ts';

/** More equal instructions than a reader wants, and than there are in nearly all functions. */
const LARGEST_CONTEXT = 10_000;
const DEFAULT_CONTEXT = 3;

export const CONTEXT = {
  name: 'context',
  value: 'N',
  commands: ['diff'],
  parse: (option: string, text: string): number => Math.min(LARGEST_CONTEXT, seedValue(option, text)),
  default: DEFAULT_CONTEXT,
  help: [`Equal instructions around a difference. Default: ${DEFAULT_CONTEXT}.`],
} as const satisfies OptionRow;

export const FILE_OPTIONS: readonly OptionRow[] = [
  {
    name: 'symbols',
    value: 'FILE',
    commands: ['audit'],
    file: 'read',
    help: ["The stub's ELF file or a System.map, to name what is found. It has to be of", 'the same build.'],
  },
  {
    name: 'config',
    value: 'FILE',
    commands: ['audit'],
    file: 'read',
    help: ['The .config of the build, for an image that does not carry its own.'],
  },
  {
    name: 'link-command',
    value: 'TEXT',
    commands: ['audit'],
    help: [
      'The command that links the stub, as in "ld -m elf_x86_64 -pie ...": which of the',
      'flags that protect it are there.',
    ],
  },
  {
    name: 'build-log',
    value: 'FILE',
    commands: ['audit'],
    file: 'read',
    help: ['The output of `make V=1`; the command that links the stub is taken from it.'],
  },
  { name: 'payload', commands: ['audit'], help: ['Unpack the kernel inside a bzImage and audit it too.'] },
  {
    name: 'symbols-good',
    value: 'FILE',
    commands: ['diff'],
    file: 'read',
    help: [
      "An ELF file or a System.map with GOOD's symbols, of the same build. An ELF",
      'file brings its own, a kernel its kallsyms.',
    ],
  },
  { name: 'symbols-bad', value: 'FILE', commands: ['diff'], file: 'read', help: ['The same for BAD.'] },
  CONTEXT,
  { name: 'all', commands: ['diff'], help: ['Also numbers that differ because sizes and addresses do.'] },
  {
    name: 'header-only',
    commands: ['info'],
    help: ['Leave the kernel packed: instead of seconds it takes an instant.'],
  },
  {
    name: 'symbols-to',
    value: 'FILE',
    commands: ['info'],
    file: 'written',
    help: ["Write the kernel's symbols to FILE, in the form of a System.map."],
  },
  {
    name: 'config-to',
    value: 'FILE',
    commands: ['info'],
    file: 'written',
    help: ["Write the kernel's configuration to FILE, where the kernel carries it."],
  },
  {
    name: 'to',
    value: 'FILE',
    commands: ['extract'],
    file: 'written',
    help: ['Where to write it (needed); an older file is overwritten. - is stdout.'],
  },
];

export const LOOK_OPTIONS: readonly OptionRow[] = [...FILE_OPTIONS, ...OUTPUT_OPTIONS];
