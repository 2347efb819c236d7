// The other ways into an image that boot loaders take. An image that passes by one entry may die by another: each has code
// of its own.

import type { RunConfig } from '../run/run.ts';
import { HIGH_MEMORY_START } from '../boot/layout.ts';
import { type KernelImage, stubOf } from '../image/image.ts';

/**
 * Configurations that differ in how the image is entered. Loaders that start from a BIOS, and QEMU's -kernel, load a
 * relocatable kernel at 1 MiB and come in by the 32-bit entry (behind the real-mode part, which this machine leaves out);
 * what differs between the entries is over where the unpacked kernel starts. None where an entry was asked for.
 */
export function otherEntries(config: RunConfig, image: KernelImage): RunConfig[] {
  const stub = stubOf(image);
  if (config.entry !== undefined || !stub?.has64BitEntry || stub.payload === undefined) return [];
  const loadAt = config.loadAt ?? (stub.header.relocatable_kernel ? HIGH_MEMORY_START : undefined);
  return [{ ...config, entry: 32, paging: undefined, loadAt, until: 'handoff', untilText: undefined }];
}
