// A process of its own: goes on with each snapshot of a folder to a count of instructions, and prints the state hashes.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { SnapshotReader } from '../../../src/run/snapshot.ts';
import { advanced } from './guest.ts';

const [folder = '', end = ''] = process.argv.slice(2);
const hashes = readdirSync(folder).map((name) => {
  const reader = new SnapshotReader({ until: 'end', maxInstructions: BigInt(end) });
  reader.push(new Uint8Array(readFileSync(join(folder, name))));
  return [name, advanced(reader.finish(), BigInt(end)).machine.stateHash()];
});
process.stdout.write(JSON.stringify(Object.fromEntries(hashes)));
