// The kernel's build configuration: the text of a .config, and where a kernel with CONFIG_IKCONFIG carries it.
import { InputError } from '../bits/errors.ts';
import type { FileRange } from './bzimage.ts';
import { startsWith } from './payload.ts';

export type KernelConfig = {
  /** Option without "CONFIG_" to its value: y, m, n ("is not set"), a number as written, a string without its quotes. */
  readonly options: ReadonlyMap<string, string>;
  /** From the comment on top, "# Linux/x86 6.1.192 Kernel Configuration"; undefined where there is none. */
  readonly version: string | undefined;
};

/** Distributions' configurations have some 250,000 characters. */
const LONGEST_CONFIG = 8 * 1024 * 1024;

const SET = /^CONFIG_([A-Za-z0-9_]+)=(.*)$/;
const NOT_SET = /^# CONFIG_([A-Za-z0-9_]+) is not set$/;
const TITLE = /^# Linux\/\S+ (\S+)(?: .*)? Kernel Configuration$/;

/** Reads the text of a .config. Throws an InputError where it has no option at all. */
export function parseKernelConfig(text: string): KernelConfig {
  if (text.length > LONGEST_CONFIG) throw new InputError('the kernel configuration is longer than 8 MiB');
  const options = new Map<string, string>();
  let version: string | undefined;
  for (const line of text.split('\n')) {
    const plain = line.trimEnd();
    const set = SET.exec(plain);
    const notSet = set === null ? NOT_SET.exec(plain) : null;
    if (set !== null) options.set(set[1] as string, valueText(set[2] as string));
    else if (notSet !== null) options.set(notSet[1] as string, 'n');
    else version ??= TITLE.exec(plain)?.[1];
  }
  if (options.size === 0) throw new InputError('this is not a kernel configuration: no line sets a CONFIG_ option');
  return { options, version };
}

/** Strings come in quotes, with \" and \\ inside (scripts/kconfig). */
function valueText(written: string): string {
  const quoted = /^"(.*)"$/.exec(written);
  return quoted === null ? written : (quoted[1] as string).replace(/\\(.)/g, '$1');
}

/** Whether the option is y. */
export const isOn = (config: KernelConfig, option: string): boolean => config.options.get(option) === 'y';

/** Whether the configuration says that the option is off; an option it does not name was unknown to that kernel. */
export const isOff = (config: KernelConfig, option: string): boolean => config.options.get(option) === 'n';

/** A number, decimal or 0x...; undefined where the option is not there or is none. */
export function numberOf(config: KernelConfig, option: string): number | undefined {
  const text = config.options.get(option);
  return text !== undefined && /^(?:0x[0-9a-fA-F]{1,13}|[0-9]{1,15})$/.test(text) ? Number(text) : undefined;
}

const START = Array.from('IKCFG_ST', (c) => c.charCodeAt(0));
const END = Array.from('IKCFG_ED', (c) => c.charCodeAt(0));

/** The gzip file that kernel/configs.c puts between IKCFG_ST and IKCFG_ED; `bytes` is the unpacked kernel. */
export function findEmbeddedConfig(bytes: Uint8Array): FileRange | undefined {
  for (let at = indexOf(bytes, START, 0); at >= 0; at = indexOf(bytes, START, at + 1)) {
    const fileOffset = at + START.length;
    if (!startsWith(bytes, [0x1f, 0x8b, 8], fileOffset)) continue;
    const end = indexOf(bytes, END, fileOffset);
    return end < 0 ? undefined : { fileOffset, size: end - fileOffset };
  }
  return undefined;
}

function indexOf(bytes: Uint8Array, pattern: readonly number[], from: number): number {
  const first = pattern[0] as number;
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (startsWith(bytes, pattern, at)) return at;
  }
  return -1;
}
