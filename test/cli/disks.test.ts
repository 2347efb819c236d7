// `--disk` and `--device`: files as disks, read where the guest reads, and never written.
import { mkdtempSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openDisk } from '../../src/cli/disks.ts';
import { makeElf } from '../image/synthetic.ts';
import { firstlight } from './fakeIo.ts';

const directory = mkdtempSync(join(tmpdir(), 'firstlight-disks-'));
afterAll(() => rmSync(directory, { recursive: true }));
const file = (name: string, bytes: Uint8Array): string => {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
};

const SECTORS = Uint8Array.from({ length: 2048 }, (_, i) => i >> 9);
const ENTRY = 0x1000000n;
const code = Uint8Array.from([0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x34, 0x66, 0xef]); // powers off
const KERNEL = file(
  'kernel',
  makeElf({ segments: [{ physAddr: ENTRY, virtAddr: ENTRY, memSize: 0x1000n, bytes: code }], entry: ENTRY }),
);
const boot = (...args: string[]) => firstlight(['boot', KERNEL, '--until', 'end', ...args]);

describe('a file as a disk', () => {
  it('is read where it is asked for', () => {
    const disk = openDisk(file('disk', SECTORS));
    expect(disk.size).toBe(2048);
    expect(disk.read(511, 3)).toEqual(Uint8Array.of(0, 1, 1));
  });

  it.each([
    ['shorter', (path: string) => truncateSync(path, 1024)],
    ['written to', (path: string) => utimesSync(path, 1, 1)],
  ])('must not become %s', (_, change) => {
    const path = file('changing', SECTORS);
    const disk = openDisk(path);
    change(path);
    expect(() => disk.read(1536, 512)).toThrow(`'${path}' has changed while it was used as a disk`);
  });

  it('must be there, and a file', () => {
    const missing = join(directory, 'missing');
    expect(() => openDisk(missing)).toThrow(`cannot read '${missing}': no such file`);
    expect(() => openDisk(directory)).toThrow(`cannot use '${directory}' as a disk: it is a directory`);
  });
});

describe('firstlight boot --disk --device', () => {
  it('says what there is, on the line that announces the boot and in the JSON', async () => {
    const disk = file('good', SECTORS);
    const given = ['--disk', disk, '--disk', disk, '--device', 'virtio-rng'];
    const { code: exit, stderr } = await boot(...given);
    expect([exit, stderr]).toEqual([0, expect.stringContaining('a disk of 2 KiB, a disk of 2 KiB, virtio-rng')]);
    const { machine } = JSON.parse((await boot(...given, '--json')).stdout) as { machine: Record<string, unknown> };
    expect([machine['disks'], machine['devices']]).toEqual([[2048, 2048], ['virtio-rng']]);
    expect(Buffer.compare(readFileSync(disk), SECTORS)).toBe(0);
  });

  it.each([
    [['--disk', file('odd', SECTORS.subarray(1))], "odd' as a disk: its 2,047 bytes are no whole sectors of 512"],
    [['--disk', file('empty', new Uint8Array())], "empty' as a disk: its 0 bytes are no whole sectors of 512"],
    [['--device', 'virtio-net'], "--device: 'virtio-net' is none of virtio-rng, virtio-console"],
  ])('refuses %j', async (args, message) => {
    const { code: exit, stderr } = await boot(...args);
    expect([exit, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});
