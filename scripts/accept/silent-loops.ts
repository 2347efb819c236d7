// Guests that say nothing for 3,000 million instructions and then go on: none of them may be called a hang, nor be given
// up. Each powers the machine off when it has got out. A row each, with what a looping guest costs.
//
//   npm run silent-loops
//
// Exit status: 0 all went on, 1 one was given up.
import { DEFAULT_MAX_INSTRUCTIONS } from '../../src/options/defaults.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import { setV8Flags } from '../../src/cli/v8Flags.ts';
import { outcomeText } from '../../src/report/outcome.ts';
import { dword, type Item, ptr, x86 } from '../../test/support/assembler.ts';
import { configOf, elfGuest, POWER_OFF } from '../../test/support/guest.ts';

const { add, and, cmp, dec, inc, jb, jne, mov, rdtsc, sub } = x86;
const LENGTH = 3_000_000_000;
const PLACE = 0x1300000;

const LOOPS: readonly (readonly [name: string, code: readonly Item[]])[] = [
  ['a count in a register', [mov('ecx', LENGTH / 2), '@again', dec('ecx'), jne('@again')]],
  ['a count in memory', [mov('ecx', LENGTH / 3), '@again', inc(dword(PLACE)), dec('ecx'), jne('@again')]],
  [
    'the same pages read and stored, as they were',
    [
      ...([mov('ebp', Math.ceil(LENGTH / 4096 / 6)), '@pages', mov('edi', PLACE), mov('ecx', 4096)] as const),
      ...(['@words', mov('rax', ptr('rdi')), and('rax', -67), mov(ptr('rdi'), 'rax'), add('rdi', 8)] as const),
      ...[dec('ecx'), jne('@words'), dec('ebp'), jne('@pages')],
    ],
  ],
  [
    'a wait for the time stamp counter',
    [rdtsc(), mov('ebx', 'eax'), '@again', rdtsc(), sub('eax', 'ebx'), cmp('eax', LENGTH), jb('@again')],
  ],
];

setV8Flags();
let bad = 0;
for (const [name, code] of LOOPS) {
  const run = new BootRun(configOf(elfGuest([...code, ...POWER_OFF]), { maxInstructions: DEFAULT_MAX_INSTRUCTIONS }));
  const started = process.cpuUsage();
  const { outcome } = runToEnd(run);
  const { user, system } = process.cpuUsage(started);
  console.log(`${name}: ${outcomeText(outcome)}; ${((user + system) / 1e6).toFixed(1)} s of processor time`);
  if (outcome.kind !== 'powered-off') bad++;
}
process.exitCode = bad === 0 ? 0 : 1;
