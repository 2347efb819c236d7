// Boots one combination of scripts/accept/userland.ts at a time, in a process of its own, and reads what the guest printed.
import { readFileSync } from 'node:fs';
import { commandInitramfs } from '../../src/boot/initramfs.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun, type Outcome } from '../../src/run/run.ts';
import { setV8Flags } from '../../src/cli/v8Flags.ts';
import { outcomeText } from '../../src/report/outcome.ts';
import { answer } from './pool.ts';

export interface UserlandTask {
  readonly kernel: string;
  readonly image: string;
  readonly busybox: string;
  readonly script: string;
  readonly cmdline: string;
  readonly entry: 32 | 64;
  /** Levels of the page tables at the 64-bit entry. */
  readonly entryPaging: 4 | 5 | undefined;
  readonly memoryBytes: number;
  readonly apic: boolean;
  readonly loadAt: number | undefined;
}

export interface UserlandRow {
  readonly outcome: Outcome['kind'];
  /** The outcome in words. */
  readonly text: string;
  readonly instructions: number;
  readonly stateHash: string;
  readonly console: string;
  readonly unimplemented: readonly string[];
  readonly seconds: number;
  /** Highest resident set of the worker so far, in MiB. */
  readonly peakMiB: number;
}

function boot(task: UserlandTask): UserlandRow {
  const started = performance.now();
  const { entry, entryPaging: paging, loadAt, memoryBytes, cmdline, apic } = task;
  const run = new BootRun({
    image: new Uint8Array(readFileSync(task.image)),
    initrd: commandInitramfs(task.script, new Uint8Array(readFileSync(task.busybox)), 'console'),
    ...{ entry, paging, loadAt, memoryBytes, cmdline, apic },
    cpu: 'max',
    until: 'end',
    maxInstructions: 40_000_000_000n,
    seed: 0,
  });
  const { outcome, stateHash, unimplemented, console } = runToEnd(run);
  return {
    outcome: outcome.kind,
    text: outcomeText(outcome),
    instructions: Number(outcome.instructions),
    stateHash,
    console,
    unimplemented: unimplemented.map(({ what }) => what),
    seconds: (performance.now() - started) / 1000,
    peakMiB: process.resourceUsage().maxRSS / 1024,
  };
}

setV8Flags();
answer(boot);
