// Boots of real kernels, as the tests here want them.
import { readFileSync } from 'node:fs';
import type { TestContext } from 'vitest';
import { DEFAULT_MAX_INSTRUCTIONS, DEFAULT_MEMORY, LINUX_WORDS } from '../../src/options/defaults.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun, type RunConfig, type RunResult } from '../../src/run/run.ts';
import { type KernelFile, kernel, kernels } from '../support/kernels.ts';

export const CMDLINE = LINUX_WORDS;

/** The kernel called `name`; the test is skipped, and says why, where it cannot be had. */
export function wanted(name: string, context: TestContext): KernelFile {
  const file = kernel(name);
  if (file) return file;
  const { reason, files } = kernels();
  return context.skip(reason || `there is no ${name}, only ${files.map((one) => one.name).join(', ')}`);
}

export const imageOf = (file: KernelFile): Uint8Array => new Uint8Array(readFileSync(file.path));

/** The defaults of the command line, with a serial console. */
export const configOf = (image: Uint8Array, more: Partial<RunConfig> = {}): RunConfig => ({
  image,
  cpu: 'max',
  memoryBytes: DEFAULT_MEMORY,
  cmdline: CMDLINE,
  until: 'banner',
  // More than four times what the slowest of these boots needs.
  maxInstructions: DEFAULT_MAX_INSTRUCTIONS,
  seed: 0,
  ...more,
});

export const boot = (image: Uint8Array, more: Partial<RunConfig> = {}): RunResult =>
  runToEnd(new BootRun(configOf(image, more)));
