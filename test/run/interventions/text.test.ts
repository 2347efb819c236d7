// The one form in which interventions are written, and what is said of those that are none, on the command line as in snapshots.
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/bits/errors.ts';
import { BootRun } from '../../../src/run/run.ts';
import { interventionText, parseIntervention } from '../../../src/run/interventions/table.ts';
import { advanced, AT, hexOf, loopGuest, sampleGuest } from './guest.ts';

describe('the text of an intervention', () => {
  it.each([
    ['set rax=0x5', { when: { at: 'entry' }, what: { kind: 'set', register: 'rax', value: 5n } }],
    [
      'at=0x1000000:3 memory phys:0x2000=48c7',
      {
        when: { at: 'address', place: { space: 'linear', address: 0x1000000n }, nth: 3 },
        what: { kind: 'memory', place: { space: 'physical', address: 0x2000n }, bytes: Uint8Array.of(0x48, 0xc7) },
      },
    ],
    ['after=20 fill 0x1000+0x10=0x00', { when: { at: 'count', instructions: 20n }, what: { size: 16, byte: 0 } }],
    ['map 0x1000=0x2000,user,nx', { what: { kind: 'map', flags: ['user', 'nx'] } }],
    ['cpu -la57', { what: { kind: 'cpu', feature: 'la57', on: false } }],
    ['place page_tables=0x200000', { what: { kind: 'place', name: 'page_tables', address: 0x200000 } }],
    ['header init_size=0x1000', { what: { kind: 'header', field: 'init_size', value: 0x1000n } }],
    ['alias 0x10000+0x10000=0x1000000', { what: { from: 0x10000, to: 0x1000000, size: 0x10000 } }],
    ['relocate 0x18283:4', { what: { kind: 'relocate', at: 0x18283, bytes: 4 } }],
    ['plain-ram', { what: { kind: 'plain-ram' } }],
  ])('is read and written: %s', (text, data) => {
    const read = parseIntervention(text);
    expect(read).toMatchObject(data);
    expect(interventionText(read)).toBe(text);
  });

  it('may leave away that it is the first time, and has sizes as people write them', () => {
    expect(interventionText(parseIntervention('  at=16M   set rax=4K '))).toBe('at=0x1000000:1 set rax=0x1000');
  });

  it.each([
    ['', "'' is not of the form [at=ADDRESS[:N] or after=COUNT] KIND CHANGE"],
    ['set', "'' is not of the form REGISTER=VALUE"],
    ['set rax=5 rbx=6', 'is not of the form [at='],
    ['jump 0x1000', "'jump' is none of image, header,"],
    ['set rax', "'rax' is not of the form REGISTER=VALUE"],
    ['set eax=1', "'eax' is no register"],
    ['set rax=0x10000000000000000', "'0x10000000000000000' is no number"],
    ['set rax=18446744073709551616', 'is too large'],
    ['set rax=-1', "'-1' is no number"],
    ['set msr:0x12345=0', 'there is no model-specific register 0x12345'],
    ['set ds=0x10000', 'is too large'],
    ['memory 0x1000=', "'' are no bytes"],
    ['memory 0x1000=123', "'123' are no bytes"],
    ['memory phys:0x10000000000000=00', 'is too large'],
    ['fill 0x1000+0=1', 'a range of 0 bytes'],
    ['fill 0x1000+0x1000=0x100', 'is too large'],
    ['map 0x1001=0x2000', 'have to be addresses of pages'],
    ['map 0x1000=0x2000,rw', "'rw' is none of user, global,"],
    ['cpu la57', "'la57' is not of the form"],
    ['cpu +nonsense', 'changes no CPU feature'],
    ['cpu +smep,-pcid', 'is not of the form'],
    ['place kernel=0x1000', "'kernel' is none of image,"],
    ['header e820_entries=1', "'e820_entries' is none of setup_sects,"],
    ['header loadflags=0x100', 'is too large'],
    ['boot_params nothing=1', "'nothing' is none of ext_mem_k,"],
    ['relocate 0x1000:2', 'has 4 or 8 bytes'],
    ['plain-ram 1', "nothing follows plain-ram, and not '1'"],
    ['at=0x1000:0 set rax=1', 'not for the 0th'],
    ['at=here set rax=1', "'here' is no number"],
    ['after=-1 set rax=1', "'-1' is no number"],
    ['after=0x20000000000000 set rax=1', 'is too large'],
    ['at=0x1000 image 0=00', "'image' is made before the first instruction only"],
    ['after=1 cpu -la57', "'cpu' is made before the first instruction only"],
    ['set \u001b[31m=1', "'\\x1b[31m' is no register"],
    [`memory 0=${'00'.repeat(65537)}`, 'are too many for one change'],
  ])('is refused in one line: %s', (text, message) => {
    let thrown: unknown;
    try {
      parseIntervention(text);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(InputError);
    expect((thrown as Error).message).toContain(message);
    expect((thrown as Error).message).not.toContain('\n');
  });
});

describe('an intervention that does not go with its run', () => {
  it.each([
    ['image 0x1000000=00', 'the image has'],
    ['header init_size=1', 'only a bzImage has a setup header'],
    ['memory phys:0xc0000000=00', 'there is no RAM to change'],
    ['memory 0x900000000000=00', 'nothing is mapped at 0x900000000000'],
    ['fill phys:0x3fff000+0x2000=0', 'there is no RAM to change'],
    ['set cr0=0x80000000', 'the processor does not take 0x80000000 for cr0'],
    ['set rflags=0x20002', 'rflags takes no more than the bits'],
    ['set ds=0x100', 'the processor does not take 0x100 for ds'],
    ['map 0x900000000000=0x1000', 'is no address that the page tables in force reach'],
    ['map 0x1000=0x1000,nx', 'execute-disable is off'],
    ['place initrd=0x2000000', 'there is no initrd'],
    ['place stack=0x1001000', 'lies where the image is'],
    ['place stack=0x900001', 'does not begin with a page'],
    ['place stack=0xa0000', 'lies in no RAM'],
    ['alias 0x1070000+0x10000=0x1078000', '64 KiB'],
  ])('is refused before anything runs: %s', (text, message) => {
    expect(() => new BootRun(loopGuest([text]))).toThrow(message);
    expect(() => new BootRun(loopGuest([text]))).toThrow(InputError);
  });

  it('is refused when its time comes, and the run goes on as if it were not', () => {
    const text = `at=${hexOf(AT.inc)}:2 set cr0=0x80000000`;
    const run = advanced(new BootRun(loopGuest([text])), 200n);
    const plain = advanced(new BootRun(loopGuest()), 200n);
    expect(run.interventions).toMatchObject([
      { at: undefined, refused: 'the processor does not take 0x80000000 for cr0 as it stands' },
    ]);
    expect(run.machine.stateHash()).toBe(plain.machine.stateHash());
  });

  it('is none of a bzImage that is not one any more', () => {
    expect(() => new BootRun(sampleGuest('good', ['image 0x202=00000000']))).toThrow(InputError);
  });
});

describe('a run that is to be changed later', () => {
  /** jmp . */
  const forever = (...changes: string[]) =>
    loopGuest([`memory ${hexOf(0)}=ebfe`, ...changes], { maxInstructions: 200_000_000n });

  it('does not hang before', () => {
    const changedLate = new BootRun(forever(`after=160000000 memory ${hexOf(0)}=90f4`));
    changedLate.advance(200_000_000n);
    expect(changedLate.outcome?.kind).toBe('halt');
    const never = new BootRun(forever());
    never.advance(200_000_000n);
    expect(never.outcome?.kind).toBe('hang');
  });
});
