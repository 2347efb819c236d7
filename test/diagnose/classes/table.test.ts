// A class of deaths is one file and one row: one that nobody else knows of is found, proved and reported.
import { beforeAll, describe, expect, it } from 'vitest';
import { rowsOf } from '../../../src/bits/lines.ts';
import { CLASSES } from '../../../src/diagnose/classes/table.ts';
import type { DeathClass } from '../../../src/diagnose/classes/class.ts';
import type { Diagnosis } from '../../../src/diagnose/types.ts';
import { parseImage } from '../../../src/image/image.ts';
import { endLines, foundLines, quietLines } from '../../../src/report/why.ts';
import { whyJson } from '../../../src/report/whyJson.ts';
import { diagnosed, fileOffsetOf, sample, withBytes } from '../support.ts';
import { FLAG, flagByte, GOOD } from './flagByte.ts';

/** jmp 0x300; nop: in place of the first six bytes at the 64-bit entry. */
const JUMP = [0xe9, 0xfb, 0x00, 0x00, 0x00, 0x90];
/** Where nothing is: cld; cli; cmpb $0x5a,FLAG; jne to hlt; xor %eax,%eax; mov %eax,%ds; jmp 0x206; hlt. */
const CHECK = [
  0xfc, 0xfa, 0x80, 0x3d, 0x37, 0x00, 0x00, 0x00, 0x5a, 0x75, 0x09, 0x31, 0xc0, 0x8e, 0xd8, 0xe9, 0xf2, 0xfe, 0xff,
  0xff, 0xf4,
];
const flagged = (image: Uint8Array): Uint8Array => withBytes(withBytes(image, 0x200, JUMP), 0x300, CHECK);

const textOf = (lines: Parameters<typeof rowsOf>[0][]): string => lines.flatMap((line) => rowsOf(line)).join('\n');

describe('a class that a test adds', () => {
  const image = flagged(sample('good'));
  const classes: readonly DeathClass[] = [...CLASSES, flagByte([0x11, GOOD], [0x12, 0x13])];
  let diagnosis: Diagnosis;
  beforeAll(() => {
    diagnosis = diagnosed(image, {}, { classes });
  });

  it('has its cause found, proved, and the image repaired with it', () => {
    expect(diagnosis.first.outcome.kind).toBe('halt');
    expect(diagnosis.causes).toMatchObject([{ class: 'test-flag-byte', proof: { held: true } }]);
    expect({ suspicions: diagnosis.suspicions, end: diagnosis.last.outcome.kind }).toEqual({
      suspicions: [],
      end: 'stage-reached',
    });
  });

  it('is told in the report', () => {
    const [cause] = diagnosis.causes;
    if (cause === undefined) throw new Error('no cause');
    const text = textOf([...foundLines(cause, 0, parseImage(image), classes), ...endLines(diagnosis, classes)]);
    expect(text).toContain('CAUSE 1: A FLAG BYTE');
    expect(text).toContain(`The byte at file offset 0x${fileOffsetOf(FLAG).toString(16)} has to be 0x5a.`);
    expect(text).toContain('With that byte set right, and nothing else: reached banner');
    expect(quietLines(diagnosis, classes)[1]).toBe('cause, proved: test-flag-byte: the flag at file offset 0x2340');
  });

  it('is told as JSON', () => {
    const { causes } = JSON.parse(JSON.stringify(whyJson(diagnosis, parseImage(image), classes))) as {
      causes: { class: string; fileOffset: number; evidence: object; proof: { boots: object[]; controls: object[] } }[];
    };
    expect(causes).toMatchObject([
      { class: 'test-flag-byte', fileOffset: 0x2340, evidence: { silent: true }, proof: { held: true } },
    ]);
    expect(causes[0]?.proof.controls).toMatchObject([{ text: '0x12', boot: { passed: false } }, { text: '0x13' }]);
    expect(causes[0]?.proof.boots.length).toBeGreaterThanOrEqual(3);
  });

  it('is a suspicion only where another change heals too', () => {
    const doubtful = [...CLASSES, flagByte([GOOD], [GOOD])];
    const found = diagnosed(image, {}, { classes: doubtful });
    expect(found.causes).toEqual([]);
    expect(found.suspicions).toMatchObject([{ class: 'test-flag-byte', proof: { held: false } }]);
    const text = textOf([...endLines(found, doubtful)]);
    expect(text).toContain('SUSPICION, NOT PROVED');
    expect(text).toContain('That is not proved.');
    expect(text).toContain('only 2 classes of causes are looked for');
    expect(quietLines(found, doubtful)).toContain('suspicion, not proved: the flag at file offset 0x2340');
  });

  it('does not hinder the classes before it', () => {
    const found = diagnosed(sample('bad'), {}, { classes });
    expect(found.causes.map((cause) => cause.class)).toEqual(['position-dependent-reference']);
  });

  it('is not known where it is not asked for', () => {
    const found = diagnosed(image);
    expect([found.causes, found.suspicions]).toEqual([[], []]);
    expect(found.unexplained).toBeDefined();
  });
});
