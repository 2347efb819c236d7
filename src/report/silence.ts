// A run of which nothing was heard: what the guest did that somebody else might have seen. Facts of the run only.

import { guestOf, spokenLine } from '../run/cmdline.ts';
import type { RunConfig, RunResult } from '../run/run.ts';
import type { KernelImage } from '../image/image.ts';
import type { Unimplemented } from '../machine/unimplemented.ts';
import { printable } from './console.ts';
import { countText } from './numbers.ts';

/** Rows of the text screen that are shown. */
const MOST_ROWS = 8;

/** Where guests print, by the port that takes the characters, and where this machine has nobody who listens. */
const DEAF: readonly { readonly port: number; readonly name: string }[] = [
  { port: 0x2f8, name: 'COM2 (ttyS1)' },
  { port: 0x3e8, name: 'COM3 (ttyS2)' },
  { port: 0x2e8, name: 'COM4 (ttyS3)' },
  { port: 0x378, name: 'the printer port LPT1' },
  { port: 0x278, name: 'the printer port LPT2' },
  { port: 0x402, name: "the firmware's debug port 0x402" },
];

export const isSilent = ({ console }: Pick<RunResult, 'console'>): boolean => console.trim() === '';

type Heard = Pick<RunResult, 'console' | 'screen' | 'unimplemented'>;

/** Where the guest wrote to; nothing where it was heard on the serial port. */
export function silenceLines(result: Heard): string[] {
  if (!isSilent(result)) return [];
  return [...screenLines(result.screen), ...deafLines(result.unimplemented), ...memoryLines(result.unimplemented)];
}

function screenLines(rows: readonly string[]): string[] {
  const filled = rows.filter((row) => row.trim() !== '');
  if (filled.length === 0) return [];
  const shown = filled.slice(-MOST_ROWS).map((row) => `  ${printable(row)}`);
  const which = filled.length > MOST_ROWS ? `; its last ${MOST_ROWS} lines` : '';
  return [`it wrote on the text screen of the VGA (--screen of boot shows all of it)${which}:`, ...shown];
}

const deafLines = (unimplemented: readonly Unimplemented[]): string[] =>
  DEAF.flatMap(({ port, name }) => {
    const written = unimplemented.find(({ what }) => what === `port 0x${port.toString(16)}: write, no device there`);
    if (written === undefined) return [];
    const times = written.count === 1 ? 'once' : `${countText(written.count)} times`;
    return [`it wrote ${times} to ${name}, where nobody listens: what is read is COM1 (ttyS0) and port 0xe9`];
  });

/** A frame buffer, or a serial port in memory. The local APIC's page and below are looked at for what is there. */
function memoryLines(unimplemented: readonly Unimplemented[]): string[] {
  const places = unimplemented.filter(({ what }) => what.startsWith('memory access at '));
  const [most] = [...places].sort((a, b) => b.count - a.count);
  if (most === undefined || most.count < MANY) return [];
  const address = most.what.split(' ')[3]?.replace(',', '') ?? '';
  return [
    `it accessed memory from ${address} on ${countText(most.count)} times, where nothing answers: a frame buffer, or another device that this machine has not`,
  ];
}
/** Who prints does it often. */
const MANY = 100;

/** What would make it speak, where its command line does not. */
export function wordsHint(config: RunConfig, image: KernelImage, result: Pick<RunResult, 'console'>): string[] {
  if (!isSilent(result)) return [];
  const spoken = spokenLine({ image, entry: config.entry, given: config.cmdline });
  if (spoken === undefined) return [];
  const name = guestOf(image, config.entry)?.name ?? 'it';
  return [`${name} says on the serial port what it does with ${spoken.cmdlineAdded} on the command line`];
}
