// What a console that is polled costs the host: a loop that reads the UART's line status, as drivers wait for it, beside the same
// loop with a load from memory in the port's place. Prints ns of CPU time an iteration and the ratio. Usage: npm run bench:ports
import { BootRun } from '../src/run/run.ts';
import { putU32 } from '../src/bits/cursor.ts';
import { bytesOfHex } from '../src/bits/hex.ts';

const ROUNDS = 5;

/** A Multiboot program at 1 MiB, entered at its first instruction. */
function program(code: string): Uint8Array {
  const body = bytesOfHex(code);
  const bytes = new Uint8Array(32 + body.length);
  const flags = 0x10000;
  const words = [0x1bad_b002, flags, -(0x1bad_b002 + flags) >>> 0, 0x100000, 0x100000, 0, 0, 0x100020];
  words.forEach((word, i) => putU32(bytes, 4 * i, word));
  bytes.set(body, 32);
  return bytes;
}

// mov $0x3fd,%edx; 1: READ; test $1,%al; jz 1b
const POLL = 'ba fd 03 00 00  ec  a8 01  74 fb';
const PLAIN = 'ba 00 00 10 00  8a 02  a8 01  74 fa';
const LOOP = 3;

/** @param iterations so many that starting up does not show */
function cpuNs(code: string, iterations: number): number {
  const run = new BootRun({
    image: program(code),
    cpu: 'max',
    memoryBytes: 64 << 20,
    cmdline: '',
    until: 'end',
    maxInstructions: 1n << 60n,
    seed: 0,
  });
  const turns = (count: number): void => {
    run.advance(BigInt(LOOP * count));
    if (run.outcome) throw new Error(`ended: ${run.outcome.kind}`);
  };
  turns(iterations / 4);
  const before = process.cpuUsage();
  turns(iterations);
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / iterations;
}

const best = (code: string, iterations: number): number =>
  Math.min(...Array.from({ length: ROUNDS }, () => cpuNs(code, iterations)));

// The UART's loop is guest time of a microsecond each: after 10 s of it the run would be told as a hang.
const [poll, plain] = [best(POLL, 2_000_000), best(PLAIN, 20_000_000)];
console.log(
  `polling a port: ${poll.toFixed(1)} ns an iteration; a plain loop: ${plain.toFixed(1)} ns; ratio ${(poll / plain).toFixed(1)}`,
);
