// What is booted, and in which machine, in one line.

import { hex } from '../bits/hex.ts';
import type { RunConfig } from '../run/run.ts';
import { entryText } from '../boot/boot.ts';
import type { Boot } from '../boot/protocol.ts';
import { protocolText } from '../image/bzimage.ts';
import type { KernelImage } from '../image/image.ts';
import { sizeText } from './numbers.ts';

const IMAGE_NAMES = {
  elf: 'ELF image',
  elf32: '32-bit ELF image',
  multiboot: 'Multiboot image',
  flat: 'flat image',
} as const;

/** "bzImage 6.1.0-56-amd64 (boot protocol 2.15)", "ELF image". */
export function imageText(image: KernelImage): string {
  if (image.kind === 'elf' && image.lacks !== undefined)
    return `ELF image that ${image.lacks}, so entered as a vmlinux is`;
  if (image.kind !== 'bzImage') return IMAGE_NAMES[image.kind];
  const version = image.version?.split(' ')[0];
  const kind =
    image.payload === undefined && image.protocol >= 0x208 ? 'program with a Linux setup header,' : 'bzImage';
  return `${kind}${version === undefined ? '' : ` ${version}`} (boot protocol ${protocolText(image.protocol)})`;
}

const movesText = ({ alignment, to }: NonNullable<Boot['moves']>): string =>
  `no multiple of kernel_alignment, ${hex(alignment)}: it moves itself to ${hex(to)}`;

/** "loaded at 0x1000000, 64-bit entry, 4-level paging, CPU max, 512 MiB of RAM". */
export function machineText(config: RunConfig, boot: Boot): string {
  const paging = boot.entry === 32 ? [] : [`${config.paging ?? 4}-level paging`];
  return [
    ...(config.origin === undefined ? [] : [config.origin]),
    `loaded at ${hex(boot.loadAddress)}${boot.moves === undefined ? '' : ` (${movesText(boot.moves)})`}`,
    entryText(boot),
    ...paging,
    `CPU ${config.cpu}${config.apic === false ? ' without APIC' : ''}`,
    `${sizeText(config.memoryBytes)} of RAM`,
    ...(config.disks ?? []).map(({ size }) => `a disk of ${sizeText(size)}`),
    ...(config.extras ?? []),
  ].join(', ');
}

/**
 * What was added to the command line, or would have been, to stand behind machineText; '' where nothing was.
 * @param leftOut words that would have made the line too long
 */
export function commandLineText({ cmdlineAdded = '', modules = [] }: RunConfig, leftOut: string): string {
  const added = cmdlineAdded === '' ? [] : [`added to the command line: ${cmdlineAdded}`];
  const ofModules = modules.flatMap(({ added: words }, i) =>
    words === undefined ? [] : [`added to the text of module ${i + 1}: ${words}`],
  );
  const without = leftOut === '' ? [] : [`not added to the command line, which has no room for it: ${leftOut}`];
  return [...added, ...ofModules, ...without].map((text) => `; ${text}`).join('');
}
