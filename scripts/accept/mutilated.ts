// Gives mutilated files (headers, tables, payloads, bombs) to audit, info and diff: every one has to end in a result or in
// one clear line, in bounded time and memory.
//
//   npm run mutilated [-- COUNT [SEED]]     default: 5000 files
import { answers } from '../../test/mutilated/answers.ts';
import { mutilated, wholeFiles } from '../../test/mutilated/files.ts';

const [count = 5000, first = 1] = process.argv.slice(2).map(Number);
const files = wholeFiles();
const tally = new Map<string, number>();
let slowest = { ms: 0, name: '', seed: 0 };
let failed = 0;
for (let seed = first; seed < first + count; seed++) {
  const file = mutilated(files, seed);
  const whole = files.find(({ name }) => name === file.name)?.bytes ?? new Uint8Array();
  const start = performance.now();
  try {
    for (const [command, answer] of Object.entries(answers(file, whole))) {
      const key = `${command}: ${answer}`;
      tally.set(key, (tally.get(key) ?? 0) + 1);
    }
  } catch (error) {
    failed++;
    console.log(
      `seed ${seed}, ${file.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }
  const ms = performance.now() - start;
  if (ms > slowest.ms) slowest = { ms, name: file.name, seed };
}
console.log(`${count} files of ${files.length} kinds, ${failed} threw something else`);
for (const [key, number] of [...tally].sort(([a], [b]) => (a < b ? -1 : 1))) console.log(`  ${key} ${number}`);
console.log(
  `slowest ${(slowest.ms / 1000).toFixed(2)} s (seed ${slowest.seed}, ${slowest.name}), three commands together`,
);
console.log(`peak memory ${Math.round(process.resourceUsage().maxRSS / 1024)} MiB`);
process.exitCode = failed === 0 ? 0 : 1;
