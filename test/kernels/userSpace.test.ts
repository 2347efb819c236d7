// A real kernel goes on to user space, finds the ACPI tables, and ends the run by them. The program there is our own, of a
// few instructions, so that this holds whatever the rest of user space needs.
import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import { SnapshotReader, snapshotOf } from '../../src/run/snapshot.ts';
import { type DiskImage, imageOf as diskOf } from '../../src/devices/disk.ts';
import { initramfsWith, POWER_OFF, rebootingProgram } from '../support/userProgram.ts';
import { CMDLINE, configOf, imageOf, wanted } from './support.ts';

function restored(run: BootRun, disks: readonly DiskImage[]): BootRun {
  const reader = new SnapshotReader({ until: 'end', maxInstructions: run.config.maxInstructions, disks });
  for (const piece of snapshotOf(run)) reader.push(piece);
  return reader.finish();
}

describe('a Debian kernel', () => {
  it('runs the first program, and powers off when that asks for it', (context) => {
    const image = imageOf(wanted('debian-6.12-cloud', context));
    const initrd = initramfsWith(rebootingProgram('Here is process 1.\n', POWER_OFF));
    // What the program prints goes through the virtio console, with its interrupts as messages.
    const cmdline = `${CMDLINE} console=hvc0`;
    const disks = [diskOf(new Uint8Array(4096))];
    const extras = ['virtio-console'] as const;
    const run = new BootRun(configOf(image, { until: 'init', initrd, cmdline, disks, extras }));
    runToEnd(run);
    const again = restored(run, disks);
    run.goOn('end', run.config.maxInstructions);
    const { outcome, stages, console, stateHash } = runToEnd(run);
    expect(outcome).toMatchObject({ kind: 'powered-off', stage: 'init' });
    expect(stages.map((stage) => stage.name)).toEqual(['entry', 'decompress', 'handoff', 'banner', 'init']);
    expect(console).toMatch(/Run \/init as init process\r?\nHere is process 1\.\r?\n/);
    expect(console).toMatch(/pci 0000:00:01\.0: \[1af4:1042\]/);
    expect(console).toMatch(/printk: (?:legacy )?console \[hvc0\] enabled/);
    expect(console).toMatch(/ACPI: RSDP 0x00000000000F0000 /);
    // What the kernel says of tables that it does not like.
    expect(console).not.toMatch(/ACPI (?:BIOS )?(?:Error|Warning)|firmware bug/i);
    // Gone on with from the snapshot at init, it is the same run.
    expect(runToEnd(again)).toMatchObject({ outcome, console, stateHash });
  });
});
