// How the words that make a kernel speak (boot/guests.ts) go together with a command line that was given.

import { InputError } from '../bits/errors.ts';
import { type KernelImage, parseImage } from '../image/image.ts';
import { protocolOf } from '../boot/boot.ts';
import { type Guest, LINUX, nameOf, programOf, XEN, XEN_DOM0 } from '../boot/guests.ts';
import { NAME_ROOM } from '../boot/program.ts';
import type { Entry, Module } from '../boot/protocol.ts';
import type { RunConfig } from './runConfig.ts';

/** Undefined for a guest of which it is not known what it understands. @param entry as asked for, if it was */
export const guestOf = (image: KernelImage, entry?: Entry): Guest | undefined =>
  protocolOf(entry, image).guest(image) ?? programOf(image);

/** A word of a command line; quotes keep spaces in it. */
const WORD = /(?:[^\s"]|"[^"]*(?:"|$))+/g;

/** The words that are for the kernel: what stands behind `--` is for its first program. */
function wordsIn(line: string): string[] {
  const words: string[] = line.match(WORD) ?? [];
  const end = words.indexOf('--');
  return words.slice(0, end < 0 ? undefined : end);
}

/** Their names: "root" of `root=/dev/vda`. */
export const namesIn = (line: string): Set<string> => new Set(wordsIn(line).map(nameOf));

/** Of a guest's words those that the line does not settle itself, as text. */
function wordsBeside({ words }: Guest, line: string): string {
  const given = namesIn(line);
  return words
    .filter(({ settledBy }) => !settledBy.some((name) => given.has(name)))
    .map(({ text }) => text)
    .join(' ');
}

const joined = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join(' ');

export type CommandLineRequest = {
  readonly image: KernelImage;
  readonly entry?: Entry | undefined;
  /** The line as it was given. */
  readonly given: string;
  readonly modules?: readonly Module[] | undefined;
  /** There is an initial RAM disk, which is the first module. */
  readonly initrd?: boolean | undefined;
  /** It is Linux, whatever it says of itself. */
  readonly isLinux?: boolean | undefined;
};

export type CommandLine = {
  /** The whole line: `added`, and behind it what was given. */
  readonly cmdline: string;
  readonly cmdlineAdded: string;
  readonly modules: readonly Module[] | undefined;
  /** Words that would have been added and are not, because the line would be too long. */
  readonly leftOut: string;
};

/**
 * A command line with the words that make the guest speak. The whole of it is never longer than the guest takes: where
 * the words do not fit they are left out.
 */
export function withOurWords(request: CommandLineRequest): CommandLine {
  const { image, entry, given, modules, initrd } = request;
  const guest = request.isLinux ? LINUX : guestOf(image, entry);
  const ours = guest === undefined ? '' : wordsBeside(guest, given);
  const spoken = guest === XEN && !initrd ? withSpokenDom0(modules) : modules;
  const whole = joined(ours, given);
  const fits = sizeOf(whole) + textsOf(spoken) <= roomOf(image, entry);
  return fits
    ? { cmdline: whole, cmdlineAdded: ours, modules: spoken, leftOut: '' }
    : { cmdline: given, cmdlineAdded: '', modules, leftOut: ours };
}

/** Words that let a kernel print little, and the one that makes nothing of them. */
const HUSHING = ['quiet', 'loglevel'];
const UNHUSHED = 'ignore_loglevel';

/** Does the line ask the kernel itself to say little? */
export const isHushed = (line: string): boolean =>
  HUSHING.some((name) => namesIn(line).has(name)) && !namesIn(line).has(UNHUSHED);

/**
 * The line on which the guest speaks on the serial port, where it does not with the one that was given: with all of our
 * words, whatever it settles itself. Undefined where it has them, or where they do not help or do not fit.
 */
export function spokenLine({ image, entry, given }: Omit<CommandLineRequest, 'modules'>): CommandLine | undefined {
  const guest = guestOf(image, entry);
  if (guest === undefined) return undefined;
  const words = wordsIn(given);
  const has = (text: string): boolean => words.some((other) => other.startsWith(text.split(',')[0] as string));
  const missing = guest.words.filter(({ text }) => !has(text));
  const loud = guest === LINUX && isHushed(given) ? [UNHUSHED] : [];
  const added = [...missing.map(({ text }) => text), ...loud].join(' ');
  const replaced = new Set(missing.filter(({ addsUp }) => !addsUp).map(({ text }) => nameOf(text)));
  const kept = words.filter((text) => !replaced.has(nameOf(text)));
  const rest = (given.match(WORD) ?? []).slice(words.length);
  const cmdline = joined(added, ...kept, ...rest);
  if (added === '' || sizeOf(cmdline) > roomOf(image, entry)) return undefined;
  return { cmdline, cmdlineAdded: added, modules: undefined, leftOut: '' };
}

/** Of a whole line, what was given. */
export const givenPart = ({ cmdline, cmdlineAdded = '' }: Pick<RunConfig, 'cmdline' | 'cmdlineAdded'>): string =>
  cmdline.startsWith(cmdlineAdded) ? cmdline.slice(cmdlineAdded.length).trimStart() : cmdline;

const sizeOf = (text: string): number => new TextEncoder().encode(text).length;

/** Protocols with modules put their texts into the same place. */
const textsOf = (modules: readonly Module[] = []): number =>
  modules.reduce((sum, { text }) => sum + sizeOf(text) + 1, modules.length > 0 ? NAME_ROOM : 0);

const roomOf = (image: KernelImage, entry: Entry | undefined): number => protocolOf(entry, image).cmdlineRoom(image);

/**
 * Xen's first module is the kernel of its first domain. Xen takes the first word of the module's text for a file name, so
 * ours stand behind it.
 */
function withSpokenDom0(modules: readonly Module[] | undefined): readonly Module[] | undefined {
  const [first, ...rest] = modules ?? [];
  if (first === undefined || !isLinuxFile(first.bytes)) return modules;
  const added = wordsBeside(XEN_DOM0, first.text);
  const [name = '', ...given] = first.text.split(' ');
  return added === '' ? modules : [{ ...first, text: joined(name, added, given.join(' ')), added }, ...rest];
}

/** What is no image at all is none of Linux; whoever is to load it will say so. */
function isLinuxFile(bytes: Uint8Array): boolean {
  try {
    return guestOf(parseImage(bytes))?.name === 'Linux';
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}
