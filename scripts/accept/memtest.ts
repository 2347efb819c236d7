// Runs memtest86+ on our machine until it has been through all of its tests so many times, and prints each test as it
// begins. The image is the user's own: the 32- or 64-bit Linux-boot image of memtest86+ 6 or newer (Debian's package
// memtest86+ puts them into /boot).
//
//   npm run memtest -- IMAGE [--memory MIB] [--passes N] [--cpu NAME] [--no-apic]
//
// --memory   MiB of RAM; default 16. With 8 it has no room beside itself.
// --passes   default 1. The first pass is the shorter one: memtest86+ makes a third of the iterations in it.
//
// Exit status: 0 all passes without an error, 1 errors or another end, 2 usage.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { MIB } from '../../src/bits/sizes.ts';
import { drive } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import { setV8Flags } from '../../src/cli/v8Flags.ts';
import { DEFAULT_MODEL } from '../../src/x86/models.ts';

const SLICE = 100_000_000n;
const MOST_INSTRUCTIONS = 2_000_000_000_000n;

/** What the screen says. */
type Screen = {
  readonly test: string;
  readonly passes: number;
  readonly errors: string;
  readonly status: string;
};

function readScreen(rows: readonly string[]): Screen {
  const find = (pattern: RegExp): string => rows.map((row) => pattern.exec(row)?.[1]).find((text) => text) ?? '';
  return {
    test: find(/(#\d+ +\[.*?\])/),
    passes: Number(find(/Pass: +(\d+) +Errors/)),
    errors: find(/Errors: +(\S+)/),
    status: find(/Status: (\S+)/),
  };
}

function options() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      memory: { type: 'string', default: '16' },
      passes: { type: 'string', default: '1' },
      cpu: { type: 'string', default: DEFAULT_MODEL },
      'no-apic': { type: 'boolean', default: false },
    },
  });
  const [image, extra] = positionals;
  const [memory, passes] = [Number(values.memory), Number(values.passes)];
  if (image === undefined || extra !== undefined || !(memory > 0) || !(passes > 0)) {
    console.error('usage: npm run memtest -- IMAGE [--memory MIB] [--passes N] [--cpu NAME] [--no-apic]');
    process.exit(2);
  }
  return { image, memory, passes, cpu: values.cpu, apic: !values['no-apic'] };
}

function runPasses(run: BootRun, passes: number): Screen {
  let shown: Screen | undefined;
  const going = drive(run, { piece: () => SLICE });
  for (let again = true; again; ) {
    again = !going.next().done;
    const screen = readScreen(run.machine.screen.rows());
    if (screen.test !== '' && screen.test !== shown?.test) {
      console.log(`pass ${screen.passes + 1}, test ${screen.test}, errors ${screen.errors}`);
    }
    shown = screen;
    if (screen.passes >= passes) again = false;
  }
  return shown ?? readScreen([]);
}

function main(): number {
  const { image, memory, passes, cpu, apic } = options();
  setV8Flags();
  const run = new BootRun({
    image: readFileSync(image),
    cpu,
    memoryBytes: memory * MIB,
    cmdline: 'nobigstatus',
    until: 'end',
    maxInstructions: MOST_INSTRUCTIONS,
    seed: 0,
    apic,
  });
  const began = performance.now();
  const screen = runPasses(run, passes);
  const seconds = (performance.now() - began) / 1000;
  const { machine, outcome } = run;
  if (outcome) console.log(machine.screen.rows().join('\n'));
  for (const { what, count } of machine.unimplemented) console.log(`not there: ${what} (${count} times)`);
  const instructions = Number(machine.engine.retired);
  console.log(
    `${screen.passes} passes, ${screen.errors || 'no'} errors: ${(instructions / 1e9).toFixed(1)} G instructions, ` +
      `${(Number(machine.now) / 1e9).toFixed(1)} s of guest time, ${seconds.toFixed(1)} s (${(instructions / seconds / 1e6).toFixed(0)} M/s)` +
      (outcome ? `; ended by ${outcome.kind}` : ''),
  );
  return screen.passes >= passes && screen.errors === '0' ? 0 : 1;
}

process.exitCode = main();
