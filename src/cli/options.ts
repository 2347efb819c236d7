// What the options of a run amount to, with the files that they name (their meaning is in src/options).

import { InputError } from '../bits/errors.ts';
import { MIB } from '../bits/sizes.ts';
import { isProgram, protocolOf, readImage } from '../boot/boot.ts';
import { type CommandLine, type CommandLineRequest, guestOf, withOurWords } from '../run/cmdline.ts';
import { commandInitramfs } from '../boot/initramfs.ts';
import type { Entry, Module } from '../boot/protocol.ts';
import type { BootRun, Goal, RunConfig } from '../run/run.ts';
import type { Onward } from '../run/snapshot.ts';
import type { KernelImage } from '../image/image.ts';
import { openFile, originText, ukiOf } from '../image/open.ts';
import type { UnifiedImage } from '../image/uki.ts';
import type { Given } from '../options/row.ts';
import { settingsOf } from '../options/table.ts';
import { UsageError } from '../options/usageError.ts';
import { findBusybox } from './busybox.ts';
import { openDisk } from './disks.ts';
import { readInput } from './files.ts';

/** No kernel image comes near it. */
const LARGEST_IMAGE = 1024 * MIB;

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
  const options = { ...settingsOf(given), disks: disksOf(given) };
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

/** Of the options those that a saved run is gone on with. Throws UsageError and InputError. */
export function onwardOptions(given: Given): Onward {
  const { until, untilText, maxInstructions } = settingsOf(given);
  const goal = given.values.has('until') && until !== undefined ? until : 'end';
  return { until: goal, untilText, maxInstructions, disks: disksOf(given) };
}

const disksOf = ({ all }: Given): RunConfig['disks'] => all.get('disk')?.map(openDisk);

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
