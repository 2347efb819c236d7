// What is printed where a script asks what this QEMU can do. The forms are QEMU's, because scripts look for words in them.

import { CPU_MODELS } from '../../x86/models.ts';
import { version } from '../version.ts';
import { CPU_NAMES } from './cpu.ts';
import type { HelpTopic } from './options.ts';

/** The QEMU whose behaviour this front has; scripts read three numbers here. */
const QEMU_VERSION = '7.2.0';

const versionLine = (): string =>
  `QEMU emulator version ${QEMU_VERSION} is what this front of Firstlight ${version()} has the options of; it is no QEMU`;

const HELP = `usage: firstlight qemu [options], or firstlight-qemu [options]

Boots a kernel in Firstlight's PC by the options of qemu-system-x86_64, for scripts that call it:
QEMU=firstlight-qemu ./run_tests.sh

-kernel FILE, -append TEXT, -initrd FILE
-m SIZE               MiB, or as in 1G (default 128)
-cpu MODEL[,+F,-F]    -cpu help lists models (default qemu64)
-smp 1                there is one processor
-machine TYPE[,accel=tcg], -M, -accel tcg
-device pc-testdev    ports and memory of bare-metal tests
-device isa-debug-exit[,iobase=PORT][,iosize=N]
                      a value written there ends the run with exit code (value << 1) | 1
-device virtio-rng-pci
-serial stdio|mon:stdio|none, -nographic
                      the serial port at stdin (where that is a terminal; Ctrl-A x leaves) and stdout
-no-reboot            a reset or triple fault ends the run with exit code 0; without it the guest is
                      started anew, 100 times at most
-nodefaults, -no-user-config, -vnc none, -display none, -monitor none, -vga std|none, -net none,
-nic none, -parallel none, -name NAME
                      change nothing

Exit codes: 0 the guest switched off (or reset, with -no-reboot), or a signal ended the run; 1 an error,
which one line on stderr tells; else what the guest wrote. A guest that can never go on (a hang, HLT for
ever, a panic) is ended with such a line and 1, where QEMU would wait for a timeout.
`;

const list = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

export function helpOf(topic: HelpTopic): string {
  switch (topic) {
    case 'help':
      return `${versionLine()}\n${HELP}`;
    case 'version':
      return `${versionLine()}\n`;
    case 'machine':
      return list([
        'Supported machines are:',
        'pc                   Firstlight PC (default)',
        'q35                  the same',
      ]);
    case 'accel':
      return list(['Accelerators supported in QEMU binary:', 'tcg']);
    case 'cpu':
      return list([
        'Available CPUs:',
        ...[...CPU_NAMES, ...CPU_MODELS.map(({ name }) => name).filter((name) => name !== 'max')].map(
          (name) => `x86 ${name}`,
        ),
      ]);
    default:
      return list([
        'Misc devices:',
        'name "isa-debug-exit", bus ISA',
        'name "pc-testdev", bus ISA',
        'name "virtio-rng-pci", bus PCI, alias "virtio-rng"',
      ]);
  }
}
