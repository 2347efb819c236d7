// A run with an intervention of any kind is a run like any other: saved anywhere and gone on with in another process, it ends
// in the state of the run that never stopped.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { BootRun, type RunConfig } from '../../../src/run/run.ts';
import { WHAT_KINDS } from '../../../src/run/interventions/table.ts';
import { snapshotOf } from '../../../src/run/snapshot.ts';
import { advanced, AT, hexOf, loopGuest, sampleGuest, TURN } from './guest.ts';

const END = 400n;
/** Before and behind the fifth turn, in which what is not made at entry takes effect, about; the first in a repeated move. */
const CUTS = [30n, BigInt(8 * TURN)];

const initrd = { initrd: new Uint8Array(5000).fill(0x5a) };
const loop = (...changes: string[]): RunConfig => loopGuest(changes);
const good = (...changes: string[]): RunConfig => sampleGuest('good', changes, initrd);
const plainOf = (config: RunConfig): RunConfig => ({ ...config, interventions: [] });

/** Each kind, at entry and later where it can be. */
const CASES: readonly (readonly [string, RunConfig])[] = [
  ['image', good('image 0x2200=fc90')],
  ['header', good('header setup_data=0x12345')],
  ['boot_params', good('boot_params sentinel=0xff')],
  ['boot_params later', good('after=100 boot_params acpi_rsdp_addr=0xe0000')],
  ['memory', loop('memory 0x1070000=11')],
  ['memory by count', loop(`after=${5 * TURN} memory phys:0x1070000=2233`)],
  ['memory over code', loop(`at=${hexOf(AT.inc)}:5 memory ${hexOf(AT.inc)}=48ffc8`)],
  ['fill', loop('fill 0x1050000+0x2000=0x77')],
  ['fill later', loop(`at=${hexOf(AT.read)}:5 fill phys:0x106fff0+0x20=0x44`)],
  ['set', loop('set r8=0x100')],
  ['set by count', loop(`after=${5 * TURN} set rax=0`)],
  ['set at the nth time', loop(`at=${hexOf(AT.inc)}:5 set rax=0x1000000000`)],
  ['set at a repeated instruction', loop(`at=${hexOf(AT.rep)}:5 set rcx=8000`)],
  ['set rip', loop(`at=phys:${hexOf(AT.add)}:5 set rip=${hexOf(AT.read)}`)],
  ['set cr4', loop(`after=${5 * TURN} set cr4=0x200a0`)],
  ['set msr', loop(`after=${5 * TURN} set msr:0xc0000102=0x1234`)],
  ['set segment', loop(`after=${5 * TURN} set fs=0`)],
  ['map', loop('memory phys:0x1080000=55', 'map 0x1070000=0x1080000')],
  ['map later', loop('memory phys:0x1080000=55', `at=${hexOf(AT.inc)}:5 map 0x1070000=0x1080000,ro`)],
  ['cpu', loop('cpu -la57')],
  ['place', good('place stack=0x1f00000', 'place initrd=0x3000000')],
  ['alias', loop('alias 0x1070000+0x10000=0x1090000', 'memory phys:0x1090000=66')],
  ['plain-ram', loop('plain-ram', 'memory phys:0xa0000=01')],
  ['relocate', sampleGuest('bad', ['relocate 0x18283:4'], initrd)],
];

const saved = (run: BootRun): Uint8Array => Buffer.concat([...snapshotOf(run)].map((piece) => Uint8Array.from(piece)));

describe('a run with an intervention', () => {
  it('is tried of each kind', () => {
    const kinds = CASES.flatMap(([, { interventions = [] }]) => interventions.map(({ what }) => what.kind));
    expect([...new Set(kinds)].sort()).toEqual([...WHAT_KINDS].sort());
  });

  it.each(CASES)('is made, and tells so: %s', (_, config) => {
    const run = advanced(new BootRun(config), END);
    const plain = advanced(new BootRun(plainOf(config)), END);
    expect(run.interventions.map(({ at, refused }) => [at !== undefined, refused])).toEqual(
      run.interventions.map(() => [true, undefined]),
    );
    expect(run.machine.stateHash()).not.toBe(plain.machine.stateHash());
  });

  it('is the same however it is cut, and goes on in another process as if it had not stopped', () => {
    const folder = mkdtempSync(join(tmpdir(), 'firstlight-interventions-'));
    const expected: Record<string, string> = {};
    for (const [name, config] of CASES) {
      const whole = advanced(new BootRun(config), END);
      const run = new BootRun(config);
      for (let to = 1n; to <= END; to++) {
        advanced(run, to);
        if (!CUTS.includes(to)) continue;
        writeFileSync(join(folder, `${name} saved at ${to}`), saved(run));
        expected[`${name} saved at ${to}`] = whole.machine.stateHash();
      }
      expect([name, run.machine.stateHash()]).toEqual([name, whole.machine.stateHash()]);
      expect(run.interventions).toEqual(whole.interventions);
    }
    const child = fileURLToPath(new URL('restoreAll.ts', import.meta.url));
    const args = ['--import', 'tsx', child, folder, String(END)];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    rmSync(folder, { recursive: true });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual(expected);
  });
});
