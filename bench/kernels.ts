// What is booted: Debian's kernels, each compressed in another way, with the same command line on both sides.
import { MIB } from '../src/bits/sizes.ts';
import { DEFAULT_MEMORY, LINUX_WORDS } from '../src/options/defaults.ts';
import { type KernelFile, kernels } from '../test/support/kernels.ts';

/** `nokaslr` makes the stub say so right before it unpacks the kernel: where QEMU's clock of the unpacking starts. */
export const CMDLINE = `${LINUX_WORDS} nokaslr`;
export const UNPACKING = "KASLR disabled: 'nokaslr'";
export const MEMORY_MIB = DEFAULT_MEMORY / MIB;

const NAMES = ['debian-6.1', 'debian-6.12-cloud'];

/** The kernels to measure; throws where none can be had. */
export function benchKernels(): KernelFile[] {
  const { files, reason } = kernels();
  const chosen = files.filter((file) => NAMES.includes(file.name));
  if (chosen.length === 0)
    throw new Error(`no kernels to boot: ${reason || 'the cache has none of ' + NAMES.join(', ')}`);
  return chosen;
}
