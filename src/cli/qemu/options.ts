// QEMU's options as far as a PC that is loaded with a kernel needs them: a table of those that are known, with one dash or
// two, and what each amounts to. What is not known is refused in one line, as QEMU does.

import { InputError } from '../../bits/errors.ts';
import { MIB } from '../../bits/sizes.ts';
import type { ExtraDevice } from '../../machine/pciFunctions.ts';
import { meant } from '../nearest.ts';
import { cpuOf, DEFAULT_CPU } from './cpu.ts';

export type QemuOptions = {
  kernel: string | undefined;
  append: string;
  initrd: string | undefined;
  memoryBytes: number;
  cpu: string;
  /** The first serial port is stdin and stdout; undefined where nothing was said. */
  stdio: boolean | undefined;
  noReboot: boolean;
  testDevice: boolean;
  /** The port of isa-debug-exit, where there is one. */
  debugExit: number | undefined;
  extras: ExtraDevice[];
  /** What is printed instead of a run. */
  help: HelpTopic | undefined;
  warnings: string[];
};
export type HelpTopic = 'help' | 'version' | 'machine' | 'cpu' | 'accel' | 'device';

const DEFAULT_MEMORY = 128 * MIB;
const UNITS: Readonly<Record<string, number>> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };
/** isa-debug-exit's, where iobase does not say. */
const DEFAULT_EXIT_PORT = 0x501;

type Taken = (options: QemuOptions, value: string) => void;
/** One that takes a value, or a switch. */
type Row = { readonly value: boolean; readonly take: Taken };

const valued = (take: Taken): Row => ({ value: true, take });
const flag = (take: Taken): Row => ({ value: false, take });
const nothing: Taken = () => undefined;
const helped =
  (topic: HelpTopic, take: Taken): Taken =>
  (options, value) => {
    if (value === '?' || value === 'help') options.help ??= topic;
    else take(options, value);
  };
/** An option of which this machine can be but one thing. */
const only = (name: string, ...values: readonly string[]): Row =>
  valued((_options, value) => {
    if (!values.includes(value))
      throw new InputError(`-${name} ${value}: this machine has ${values.join(' or ')} only`);
  });

const ROWS: Readonly<Record<string, Row>> = {
  help: flag((options) => void (options.help ??= 'help')),
  h: flag((options) => void (options.help ??= 'help')),
  version: flag((options) => void (options.help ??= 'version')),
  machine: valued(helped('machine', machine)),
  M: valued(helped('machine', machine)),
  accel: valued(helped('accel', accelerator)),
  'enable-kvm': flag((options) => accelerator(options, 'kvm')),
  cpu: valued(helped('cpu', cpu)),
  device: valued(helped('device', device)),
  kernel: valued((options, value) => void (options.kernel = value)),
  append: valued((options, value) => void (options.append = value)),
  initrd: valued((options, value) => void (options.initrd = value)),
  m: valued((options, value) => void (options.memoryBytes = memoryOf(value))),
  smp: valued(processors),
  serial: valued(serial),
  nographic: flag((options) => void (options.stdio ??= true)),
  'no-reboot': flag((options) => void (options.noReboot = true)),
  nodefaults: flag(nothing),
  'no-user-config': flag(nothing),
  name: valued(nothing),
  vnc: only('vnc', 'none'),
  display: only('display', 'none'),
  monitor: only('monitor', 'none', 'null'),
  parallel: only('parallel', 'none', 'null'),
  net: only('net', 'none'),
  nic: only('nic', 'none'),
  vga: only('vga', 'std', 'none'),
  d: valued(
    (options, value) => void options.warnings.push(`-d ${value}: there is no log here; 'firstlight why' tells more`),
  ),
  D: valued(nothing),
};

/** Throws InputError. */
export function readQemuOptions(args: readonly string[]): QemuOptions {
  const options: QemuOptions = {
    kernel: undefined,
    append: '',
    initrd: undefined,
    memoryBytes: DEFAULT_MEMORY,
    cpu: '',
    stdio: undefined,
    noReboot: false,
    testDevice: false,
    debugExit: undefined,
    extras: [],
    help: undefined,
    warnings: [],
  };
  cpu(options, DEFAULT_CPU);
  for (let at = 0; at < args.length; at++) {
    const given = args[at] as string;
    const name = /^--?(.+)$/.exec(given)?.[1];
    if (name === undefined)
      throw new InputError(`${given}: there are no disk images here; -kernel FILE names a kernel`);
    const row = Object.hasOwn(ROWS, name) ? ROWS[name] : undefined;
    if (row === undefined)
      throw new InputError(
        `${given}: invalid option${meant(
          given,
          Object.keys(ROWS).map((one) => `-${one}`),
        )}`,
      );
    const value = row.value ? args[++at] : '';
    if (value === undefined) throw new InputError(`${given}: requires an argument`);
    row.take(options, value);
  }
  return options;
}

const TYPE = /^(pc|q35|pc-i440fx-[\d.]+|pc-q35-[\d.]+)$/;
/** Of a machine, those with which it is what it is here. */
const MACHINE_PROPERTIES: Readonly<Record<string, RegExp>> = {
  'kernel-irqchip': /^(on|off|split)$/,
  vmport: /^(off|auto)$/,
  usb: /^off$/,
  graphics: /^(on|off)$/,
  smm: /^(off|auto)$/,
  hpet: /^on$/,
  'dump-guest-core': /^(on|off)$/,
  'mem-merge': /^(on|off)$/,
  nvdimm: /^off$/,
};

function machine(options: QemuOptions, value: string): void {
  for (const [index, part] of value.split(',').entries()) {
    const [name = '', set] = part.split('=');
    const property = name.replaceAll('_', '-');
    if (property === 'accel' && set !== undefined) accelerator(options, set);
    else if (set === undefined || property === 'type') {
      const type = set ?? name;
      if ((index > 0 && set === undefined) || !TYPE.test(type))
        throw new InputError(`unsupported machine type "${type}"`);
    } else if (!MACHINE_PROPERTIES[property]?.test(set)) {
      throw new InputError(`this machine cannot be changed by ${part} (Property 'pc-machine.${name}')`);
    }
  }
}

/** The first of a list that there is. */
function accelerator(_options: QemuOptions, value: string): void {
  const names = (value.split(',')[0] as string).split(':');
  if (!names.includes('tcg')) throw new InputError(`-accel ${names.join(':')}: invalid accelerator; there is tcg`);
}

function cpu(options: QemuOptions, value: string): void {
  const { name, warnings } = cpuOf(value);
  options.cpu = name;
  options.warnings.push(...warnings);
}

function device(options: QemuOptions, value: string): void {
  const [name, ...settings] = value.split(',');
  switch (name) {
    case 'pc-testdev':
      options.testDevice = true;
      break;
    case 'isa-debug-exit':
      options.debugExit = exitPort(settings);
      break;
    case 'virtio-rng-pci':
      options.extras.push('virtio-rng');
      break;
    case 'pci-testdev':
      // Not in the list that is asked for by '?': who gives it all the same can do without.
      options.warnings.push("there is no pci-testdev on this machine's PCI bus");
      break;
    default:
      throw new InputError(`-device ${value}: '${name}' is not a valid device model name`);
  }
}

function exitPort(settings: readonly string[]): number {
  let port = DEFAULT_EXIT_PORT;
  for (const setting of settings) {
    const [property = '', value = ''] = setting.split('=');
    const number = /^(0x[\da-f]+|\d+)$/i.test(value) ? Number(value) : -1;
    if (property === 'iobase' && number > 0 && number <= 0xfffc) port = number;
    else if (property !== 'iosize' || ![1, 2, 4].includes(number)) {
      throw new InputError(`-device isa-debug-exit: ${setting} is no port, and no size of 1, 2 or 4`);
    }
  }
  return port;
}

/** "256" (MiB), "1G", "size=512M,...". */
function memoryOf(value: string): number {
  const [first = ''] = value.split(',');
  const { number, unit } = /^(?:size=)?(?<number>\d{1,9})(?<unit>[kmgt])?b?$/i.exec(first)?.groups ?? {};
  const bytes = Number(number ?? 0) * (UNITS[(unit ?? 'm').toLowerCase()] ?? 0);
  if (bytes > 0 && Number.isSafeInteger(bytes)) return bytes;
  throw new InputError(`-m ${value}: is no amount of memory`);
}

/** One is all there is; kvm-unit-tests asks how many there may be, by these words. */
function processors(_options: QemuOptions, value: string): void {
  const count = /^(?:cpus=)?(\d{1,9})(?:,|$)/.exec(value)?.[1];
  if (count === undefined || Number(count) === 0) throw new InputError(`-smp ${value}: is no number of processors`);
  if (Number(count) > 1) throw new InputError(`Invalid SMP CPUs ${count}: that exceeds max CPUs of this machine, 1`);
}

function serial(options: QemuOptions, value: string): void {
  if (value === 'stdio' || value === 'mon:stdio') options.stdio = true;
  else if (value === 'none' || value === 'null') options.stdio ??= false;
  else throw new InputError(`-serial ${value}: a serial port is stdio, none or null here`);
}
