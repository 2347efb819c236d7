import { describe, expect, it } from 'vitest';
import { createAcpiPm } from '../../src/devices/acpiPm.ts';
import { handClock, noUnknowns, recorded, recordedLine } from './support.ts';

const PM1_STS = 0;
const PM1_EN = 2;
const PM1_CNT = 4;
const PM_TMR = 8;
const TMR = 1;
const SLP_EN = 0x2000;
const slpTyp = (type: number): number => type << 10;
/** Guest time at which the 32-bit timer's most significant bit first changes: 2^31 ticks of 3.579545 MHz. */
const HALF_NS = 599_932_015_941n;
/** And when it begins again. */
const WHOLE_NS = 1_199_864_031_882n;

function built() {
  const clock = handClock();
  const sci = recordedLine();
  const off = recorded<void>();
  const said = recorded<string>();
  const chip = createAcpiPm({ clock, interrupt: sci.drive, powerOff: off.call, unimplemented: said.call });
  return { chip, clock, sci, off: off.heard, said: said.heard };
}

describe('PM1a control', () => {
  it('says that ACPI mode is on, whatever is written', () => {
    const { chip } = built();
    chip.write(PM1_CNT, 2, 0);
    expect(chip.read(PM1_CNT, 2)).toBe(1);
  });

  it('powers off when SLP_EN is written with S5', () => {
    const { chip, off, said } = built();
    chip.write(PM1_CNT, 2, slpTyp(5));
    expect(off).toHaveLength(0);
    chip.write(PM1_CNT, 2, slpTyp(5) | SLP_EN);
    expect({ times: off.length, said }).toEqual({ times: 1, said: [] });
  });

  it('keeps SLP_TYP, and reads SLP_EN as zero', () => {
    const { chip } = built();
    chip.write(PM1_CNT, 2, slpTyp(5) | SLP_EN);
    expect(chip.read(PM1_CNT, 2)).toBe(slpTyp(5) | 1);
  });

  it('is loud about another sleeping state and goes on', () => {
    const { chip, off, said } = built();
    chip.write(PM1_CNT, 2, slpTyp(3) | SLP_EN);
    expect({ times: off.length, said }).toEqual({
      times: 0,
      said: ['acpiPm: sleeping state SLP_TYP 3, which this machine does not have'],
    });
  });
});

describe('the PM timer', () => {
  it.each([
    [0n, 0],
    [279n, 0],
    [280n, 1],
    [1_000_000_000n, 3_579_545],
    [HALF_NS, 0x8000_0000],
  ])('at %d ns reads %d', (time, ticks) => {
    const { chip, clock } = built();
    clock.set(time);
    expect(chip.read(PM_TMR, 4)).toBe(ticks);
  });

  it('can be read in parts, and begins again after 32 bits', () => {
    const { chip, clock } = built();
    clock.set(1_000_000_000n);
    expect([chip.read(PM_TMR, 2), chip.read(PM_TMR + 2, 1)]).toEqual([3_579_545 & 0xffff, 3_579_545 >> 16]);
    clock.set(WHOLE_NS - 1n);
    expect(chip.read(PM_TMR, 4)).toBe(0xffff_ffff);
    clock.set(WHOLE_NS);
    expect(chip.read(PM_TMR, 4)).toBe(0);
  });

  it('does not take writes', () => {
    const { chip } = built();
    chip.write(PM_TMR, 4, 0x1234);
    expect(chip.read(PM_TMR, 4)).toBe(0);
  });
});

describe('the timer event', () => {
  it('sets its status bit when the most significant bit changes, enabled or not', () => {
    const { chip, clock, sci } = built();
    clock.set(HALF_NS - 1n);
    expect(chip.read(PM1_STS, 2)).toBe(0);
    clock.set(HALF_NS);
    expect({ status: chip.read(PM1_STS, 2), sci: sci.level() }).toEqual({ status: TMR, sci: false });
  });

  it('is coming only while it is enabled', () => {
    const { chip } = built();
    expect(chip.nextEvent()).toBeUndefined();
    chip.write(PM1_EN, 2, TMR);
    expect(chip.nextEvent()).toBe(HALF_NS);
  });

  it('raises the SCI until its status bit is cleared by a one', () => {
    const { chip, clock, sci } = built();
    chip.write(PM1_EN, 2, TMR);
    clock.set(HALF_NS);
    chip.advance(HALF_NS);
    expect(sci.level()).toBe(true);
    chip.write(PM1_STS, 2, 0);
    expect(sci.level()).toBe(true);
    chip.write(PM1_STS, 2, TMR);
    expect(sci.level()).toBe(false);
    expect(chip.nextEvent()).toBe(WHOLE_NS);
  });
});

describe('the registers', () => {
  it('come back from a saved state', () => {
    const first = built();
    first.chip.write(PM1_EN, 2, 0xffff);
    first.chip.write(PM1_CNT, 2, slpTyp(2) | 2);
    first.clock.set(HALF_NS);
    expect(first.chip.read(PM1_STS, 2)).toBe(TMR);
    const second = createAcpiPm({
      clock: first.clock,
      interrupt: () => {},
      powerOff: () => {},
      unimplemented: noUnknowns,
    });
    second.restore(JSON.parse(JSON.stringify(first.chip.state())));
    const registers = (chip: typeof second) => [PM1_STS, PM1_EN, PM1_CNT].map((offset) => chip.read(offset, 2));
    expect(registers(second)).toEqual([TMR, 0x721, slpTyp(2) | 3]);
    expect(registers(second)).toEqual(registers(first.chip));
  });

  it('are loud about the gap between them', () => {
    const { chip, said } = built();
    chip.read(6, 1);
    chip.write(7, 1, 0);
    expect(said).toEqual(['acpiPm: read of offset 0x06', 'acpiPm: write to offset 0x07']);
  });
});
