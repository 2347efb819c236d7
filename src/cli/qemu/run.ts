// `firstlight qemu ...`: a kernel booted by QEMU's options, with QEMU's exit codes, and silent unless something is wrong.

import { InputError } from '../../bits/errors.ts';
import { MIB } from '../../bits/sizes.ts';
import { visible } from '../../bits/visible.ts';
import { BootRun, type Outcome, type RunConfig } from '../../run/run.ts';
import { parseImage } from '../../image/image.ts';
import { NO_LIMIT } from '../../options/defaults.ts';
import { outcomeText } from '../../report/outcome.ts';
import { drive } from '../drive.ts';
import { EXIT } from '../exit.ts';
import { readInput } from '../files.ts';
import { driveInteractive } from '../interactive.ts';
import { type Io, uninterrupted } from '../io.ts';
import { Screen } from '../screen.ts';
import { helpOf } from './help.ts';
import { type QemuOptions, readQemuOptions } from './options.ts';

const LARGEST_IMAGE = 1024 * MIB;
/** A guest that resets for ever ends in the end. */
const MOST_RESETS = 100;
const FAILED = 1;

/** Throws nothing but bugs of ours. @returns the exit code */
export async function runQemu(args: readonly string[], io: Io): Promise<number> {
  const complain = (text: string): void =>
    void io.stderr.write(`firstlight-qemu: ${visible(text.replace(/\s+/g, ' '))}\n`);
  try {
    const options = readQemuOptions(args);
    if (options.help !== undefined) {
      io.stdout.write(helpOf(options.help));
      return EXIT.reached;
    }
    for (const warning of options.warnings) complain(`warning: ${warning}`);
    const start = loader(options);
    return await uninterrupted(io, () => play(start, options, io, complain));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complain(error.message);
    return FAILED;
  }
}

/** Makes the machine anew, with the kernel loaded. Throws InputError, worded as QEMU words it. */
function loader(options: QemuOptions): () => BootRun {
  const { kernel, initrd } = options;
  if (kernel === undefined) throw new InputError('there is no firmware to boot from disks by; -kernel FILE is needed');
  const loading = <T>(path: string, what: string, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new InputError(`could not load ${what} '${path}': ${error.message.replace(/^cannot \w+ '.*': /s, '')}`);
    }
  };
  const bytes = loading(kernel, 'kernel', () => readInput(kernel, LARGEST_IMAGE, 'any kernel image has'));
  const image = loading(kernel, 'kernel', () => parseImage(bytes));
  const disk =
    initrd === undefined
      ? undefined
      : loading(initrd, 'initrd', () => readInput(initrd, options.memoryBytes, 'the guest has RAM'));
  return () => loading(kernel, 'kernel', () => new BootRun(configOf(options, bytes, disk), image));
}

const configOf = (options: QemuOptions, image: Uint8Array, initrd: Uint8Array | undefined): RunConfig => ({
  image,
  cpu: options.cpu,
  memoryBytes: options.memoryBytes,
  cmdline: options.append,
  initrd,
  until: 'end',
  // Who calls QEMU has a timeout.
  maxInstructions: NO_LIMIT,
  seed: 0,
  testDevice: options.testDevice,
  debugExit: options.debugExit ?? 0,
  extras: options.extras,
});

async function play(
  start: () => BootRun,
  options: QemuOptions,
  io: Io,
  complain: (text: string) => void,
): Promise<number> {
  const screen = new Screen(io);
  for (let resets = 0; resets <= MOST_RESETS; resets++) {
    const run = start();
    if (options.stdio) run.observe({ byte: (byte, from) => from === 'console' && screen.console(byte) });
    const keyboard = options.stdio ? io.openKeyboard?.() : undefined;
    const ended = await (keyboard ? driveInteractive(run, io, screen, keyboard) : drive(run, io, screen, false));
    if (ended === 'output-closed') return EXIT.outputClosed;
    if (ended === 'left') return EXIT.reached;
    if (ended === 'interrupted') {
      complain(`terminating on signal ${NUMBERS[io.signal() ?? 'SIGINT']}`);
      return EXIT.reached;
    }
    const { outcome } = run.result();
    const code = codeOf(outcome, options.noReboot);
    if (code === undefined) continue;
    if (code === 'unlike') complain(`${outcomeText(outcome)} (QEMU would run on)`);
    return code === 'unlike' ? FAILED : code;
  }
  complain(`the guest has reset the machine ${MOST_RESETS} times; -no-reboot ends at the first`);
  return FAILED;
}

const NUMBERS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

/** Undefined where the machine starts anew; `unlike` where QEMU would not have ended. */
function codeOf(outcome: Outcome, noReboot: boolean): number | 'unlike' | undefined {
  switch (outcome.kind) {
    case 'debug-exit':
      return outcome.code & 0xff;
    case 'powered-off':
      return EXIT.reached;
    case 'reset':
    case 'triple-fault':
      return noReboot ? EXIT.reached : undefined;
    default:
      return 'unlike';
  }
}
