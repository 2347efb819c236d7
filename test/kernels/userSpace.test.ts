// A real kernel goes on to user space, finds the ACPI tables, and ends the run by them. The program there is our own, of a
// few instructions, so that this holds whatever the rest of user space needs.
import { describe, expect, it } from 'vitest';
import { initramfsWith, POWER_OFF, rebootingProgram } from '../support/userProgram.ts';
import { boot, CMDLINE, imageOf, wanted } from './support.ts';

describe('a Debian kernel', () => {
  it('runs the first program, and powers off when that asks for it', (context) => {
    const image = imageOf(wanted('debian-6.12-cloud', context));
    const initrd = initramfsWith(rebootingProgram('Here is process 1.\n', POWER_OFF));
    const { outcome, stages, console } = boot(image, { until: 'end', initrd, cmdline: CMDLINE });
    expect(outcome).toMatchObject({ kind: 'powered-off', stage: 'init' });
    expect(stages.map((stage) => stage.name)).toEqual(['entry', 'decompress', 'handoff', 'banner', 'init']);
    expect(console).toMatch(/Run \/init as init process\r?\nHere is process 1\.\r?\n/);
    expect(console).toMatch(/ACPI: RSDP 0x00000000000F0000 /);
    // What the kernel says of tables that it does not like.
    expect(console).not.toMatch(/ACPI (?:BIOS )?(?:Error|Warning)|firmware bug/i);
  });
});
