// `firstlight qemu ...`: for scripts that call qemu-system-x86_64.

import type { Command } from '../command.ts';
import { helpOf } from '../qemu/help.ts';
import { runQemu } from '../qemu/run.ts';

export const qemu: Command = {
  usage: {
    name: 'qemu',
    operand: '[options]',
    summary: 'boot a kernel by the options of qemu-system-x86_64, for scripts',
    intro: helpOf('help').trimEnd().split('\n'),
    options: [],
    outro: [],
  },
  raw: runQemu,
  run: (_given, io) => runQemu([], io),
};
