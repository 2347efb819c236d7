// Guests that say nothing for 3,000 million instructions and then go on: none of them may be called a hang, nor be given
// up. Each powers the machine off when it has got out. A row each, with what a looping guest costs.
//
//   npm run silent-loops
//
// Exit status: 0 all went on, 1 one was given up.
import { bytesOfHex } from '../../src/bits/hex.ts';
import { DEFAULT_MAX_INSTRUCTIONS } from '../../src/options/defaults.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import { setV8Flags } from '../../src/cli/v8Flags.ts';
import { outcomeText } from '../../src/report/outcome.ts';
import { makeElf } from '../../test/image/synthetic.ts';

const ENTRY = 0x1000000n;
const LENGTH = 3_000_000_000;
/** mov $0x604,%dx; mov $0x3400,%ax; out %ax,(%dx) */
const POWER_OFF = '66ba040666b8003466ef';
const le32 = (value: number): string => Buffer.from(Uint32Array.of(value).buffer).toString('hex');

const LOOPS: readonly (readonly [name: string, code: string])[] = [
  // mov $n,%ecx; 1: dec %ecx; jnz 1b
  ['a count in a register', `b9${le32(LENGTH / 2)}ffc975fc`],
  // mov $n,%ecx; 1: incl 0x1300000; dec %ecx; jnz 1b
  ['a count in memory', `b9${le32(LENGTH / 3)}ff042500003001ffc975f5`],
  // mov $n,%ebp; 2: mov $0x1300000,%edi; mov $4096,%ecx; 1: mov (%rdi),%rax; and $-67,%rax; mov %rax,(%rdi);
  // add $8,%rdi; dec %ecx; jnz 1b; dec %ebp; jnz 2b: the same pages, left as they were
  [
    'the same pages read and stored, as they were',
    `bd${le32(Math.ceil(LENGTH / 4096 / 6))}bf00003001b900100000488b074883e0bd4889074883c708ffc975eeffcd75e0`,
  ],
  // rdtsc; mov %eax,%ebx; 1: rdtsc; sub %ebx,%eax; cmp $n,%eax; jb 1b
  ['a wait for the time stamp counter', `0f3189c30f3129d83d${le32(LENGTH)}72f5`],
];

setV8Flags();
let bad = 0;
for (const [name, code] of LOOPS) {
  const bytes = bytesOfHex(code + POWER_OFF);
  const image = makeElf({ segments: [{ physAddr: ENTRY, virtAddr: ENTRY, memSize: 0x1000n, bytes }], entry: ENTRY });
  const run = new BootRun({
    ...{ image, cpu: 'max', memoryBytes: 64 << 20, cmdline: '', until: 'end', seed: 0 },
    maxInstructions: DEFAULT_MAX_INSTRUCTIONS,
  });
  const started = process.cpuUsage();
  const { outcome } = runToEnd(run);
  const { user, system } = process.cpuUsage(started);
  console.log(`${name}: ${outcomeText(outcome)}; ${((user + system) / 1e6).toFixed(1)} s of processor time`);
  if (outcome.kind !== 'powered-off') bad++;
}
process.exitCode = bad === 0 ? 0 : 1;
