import { describe, expect, it } from 'vitest';
import { createA20Gate } from '../../src/devices/a20Gate.ts';
import type { ResetSource } from '../../src/devices/device.ts';
import { createI8042 } from '../../src/devices/i8042.ts';
import { createResetControl } from '../../src/devices/reset.ts';
import { createSystemControl } from '../../src/devices/systemControl.ts';
import { bytePorts, noUnknowns, recorded, recordedLine } from './support.ts';

const DATA = 0;
const STATUS = 4;
const COMMAND = 4;
const OBF = 0x01;
const AUX_OBF = 0x20;
const TIMEOUT = 0x40;

const setUp = (unimplemented = noUnknowns) => {
  const keyboard = recordedLine();
  const aux = recordedLine();
  const resets = recorded<ResetSource>();
  const a20 = createA20Gate(() => {});
  const chip = createI8042({
    keyboardInterrupt: keyboard.drive,
    auxInterrupt: aux.drive,
    a20,
    reset: resets.call,
    unimplemented,
  });
  const ports = bytePorts(chip);
  /** All bytes that stand in the output buffer, one after the other. */
  const drain = (): number[] => {
    const bytes: number[] = [];
    while ((ports.in(STATUS) & OBF) !== 0) bytes.push(ports.in(DATA));
    return bytes;
  };
  return { chip, keyboard, aux, a20, resets: resets.heard, drain, ...ports };
};

describe('8042 commands', () => {
  it.each([
    ['self test', 0xaa, 0x55],
    ['keyboard interface test', 0xab, 0x00],
    ['auxiliary interface test', 0xa9, 0x00],
    ['test password', 0xa4, 0xf1],
    ['read input port', 0xc0, 0x80],
    ['read configuration byte', 0x20, 0x45],
    ['read output port', 0xd0, 0xcf],
  ])('answers %s', (_what, command, answer) => {
    const kbc = setUp();
    kbc.out(COMMAND, command);
    expect(kbc.drain()).toEqual([answer]);
  });

  it('writes and reads the configuration byte', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0x60);
    kbc.out(DATA, 0x30);
    kbc.out(COMMAND, 0x20);
    expect(kbc.drain()).toEqual([0x30]);
  });

  it('disables and enables the keyboard in configuration bit 4', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0xad, 0x20);
    expect(kbc.drain()).toEqual([0x55]);
    kbc.out(COMMAND, 0xae, 0x20);
    expect(kbc.drain()).toEqual([0x45]);
  });

  it('says in the status whether the last write was a command', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0xff);
    expect(kbc.in(STATUS)).toBe(0x1c);
    kbc.out(DATA, 0xf4);
    expect(kbc.in(STATUS)).toBe(0x15);
  });

  it.each([
    ['bit 4 for a keyboard byte', 0xd2, 0xdf],
    ['bit 5 for an auxiliary byte', 0xd3, 0xef],
  ])('shows a full output buffer in the output port: %s', (_what, fill, port) => {
    const kbc = setUp();
    kbc.out(COMMAND, fill);
    kbc.out(DATA, 0x5a);
    kbc.out(COMMAND, 0xd0);
    expect(kbc.drain()).toEqual([0x5a, port]);
  });

  it('has configuration bit 2 as the system flag of the status', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0x60);
    kbc.out(DATA, 0x41);
    expect(kbc.in(STATUS) & 0x04).toBe(0);
    kbc.out(COMMAND, 0xaa);
    expect(kbc.in(STATUS) & 0x04).toBe(0x04);
  });

  it('loops a byte back as if the auxiliary device had sent it', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0xd3);
    kbc.out(DATA, 0x5a);
    expect(kbc.in(STATUS) & (OBF | AUX_OBF)).toBe(OBF | AUX_OBF);
    expect(kbc.in(DATA)).toBe(0x5a);
  });

  it('reports a time-out for a byte to the absent auxiliary device', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0xd4);
    kbc.out(DATA, 0xf2);
    expect(kbc.in(STATUS) & (OBF | AUX_OBF | TIMEOUT)).toBe(OBF | AUX_OBF | TIMEOUT);
    expect(kbc.drain()).toEqual([0xfe]);
  });

  it('reports a command it does not know, once', () => {
    const said = recorded<string>();
    const kbc = setUp(said.call);
    kbc.out(COMMAND, 0xb8, 0xb8);
    expect(said.heard).toEqual(['i8042: controller command 0xb8']);
  });
});

describe('8042 reset and A20', () => {
  it('resets the machine with the pulse command 0xfe, and not with 0xff', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0xff);
    expect(kbc.resets).toEqual([]);
    kbc.out(COMMAND, 0xfe);
    expect(kbc.resets).toEqual(['8042']);
  });

  it('resets the machine when output port bit 0 goes low', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0xd1);
    kbc.out(DATA, 0xfe);
    expect(kbc.resets).toEqual(['8042']);
  });

  it('drives the A20 gate from output port bit 1', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0xd1);
    kbc.out(DATA, 0xdd);
    expect(kbc.a20.enabled()).toBe(false);
    kbc.out(COMMAND, 0xd1);
    kbc.out(DATA, 0xdf);
    expect(kbc.a20.enabled()).toBe(true);
    expect(kbc.resets).toEqual([]);
  });

  it('drives the A20 gate with the commands 0xdd and 0xdf', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0xdd);
    expect(kbc.a20.enabled()).toBe(false);
    kbc.out(COMMAND, 0xdf);
    expect(kbc.a20.enabled()).toBe(true);
  });

  it('opens A20 again on reset and as restored', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0xdd);
    const closed = kbc.chip.state();
    kbc.chip.reset();
    expect(kbc.a20.enabled()).toBe(true);
    kbc.chip.restore(closed);
    expect(kbc.a20.enabled()).toBe(false);
  });
});

describe('keyboard behind the 8042', () => {
  it('acknowledges a reset and passes its self test', () => {
    const kbc = setUp();
    kbc.out(DATA, 0xff);
    expect(kbc.drain()).toEqual([0xfa, 0xaa]);
  });

  it.each([
    ['translated', 0x45, [0xfa, 0xab, 0x41]],
    ['untranslated', 0x05, [0xfa, 0xab, 0x83]],
  ])('identifies itself, %s', (_what, config, answer) => {
    const kbc = setUp();
    kbc.out(COMMAND, 0x60);
    kbc.out(DATA, config);
    kbc.out(DATA, 0xf2);
    expect(kbc.drain()).toEqual(answer);
  });

  it('acknowledges a command and its argument', () => {
    const kbc = setUp();
    kbc.out(DATA, 0xed, 0x07);
    expect(kbc.drain()).toEqual([0xfa, 0xfa]);
  });

  it('takes a command where an argument should come for a new command', () => {
    const kbc = setUp();
    kbc.out(DATA, 0xed, 0xed, 0x00, 0xee);
    expect(kbc.drain()).toEqual([0xfa, 0xfa, 0xfa, 0xee]);
  });

  it('tells its scan-code set', () => {
    const kbc = setUp();
    kbc.out(DATA, 0xf0, 0x00);
    expect(kbc.drain()).toEqual([0xfa, 0xfa, 0x02]);
  });

  it('answers an unknown command with resend and reports it', () => {
    const said = recorded<string>();
    const kbc = setUp(said.call);
    kbc.out(DATA, 0x10);
    expect(kbc.drain()).toEqual([0xfe]);
    expect(said.heard).toEqual(['i8042: keyboard command 0x10']);
  });

  it('raises IRQ1 once for each byte', () => {
    const kbc = setUp();
    kbc.out(DATA, 0xff);
    expect(kbc.keyboard.rises()).toBe(1);
    kbc.in(DATA);
    expect([kbc.keyboard.rises(), kbc.keyboard.level()]).toEqual([2, true]);
    kbc.in(DATA);
    expect(kbc.keyboard.level()).toBe(false);
  });

  it('raises no IRQ1 while configuration bit 0 is clear', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0x60);
    kbc.out(DATA, 0x44);
    kbc.out(DATA, 0xf4);
    expect(kbc.drain()).toEqual([0xfa]);
    expect(kbc.keyboard.rises()).toBe(0);
  });

  it('raises IRQ12 for auxiliary bytes when configuration bit 1 is set', () => {
    const kbc = setUp();
    kbc.out(COMMAND, 0x60);
    kbc.out(DATA, 0x47);
    kbc.out(COMMAND, 0xd3);
    kbc.out(DATA, 0x5a);
    expect([kbc.aux.level(), kbc.keyboard.level()]).toEqual([true, false]);
    kbc.in(DATA);
    expect(kbc.aux.level()).toBe(false);
  });
});

describe('system control port A', () => {
  const port92 = () => {
    const resets = recorded<ResetSource>();
    const changes = recorded<boolean>();
    const a20 = createA20Gate(changes.call);
    a20.set('8042', false);
    const chip = createSystemControl({ a20, reset: resets.call, unimplemented: noUnknowns });
    return { chip, a20, changes: changes.heard, resets: resets.heard, ...bytePorts(chip) };
  };

  it('opens A20 with bit 1 and tells the machine of the change', () => {
    const port = port92();
    port.out(0, 0x02);
    port.out(0, 0x00);
    expect(port.changes).toEqual([false, true, false]);
  });

  it('leaves A20 open while the 8042 holds it open', () => {
    const port = port92();
    port.a20.set('8042', true);
    port.out(0, 0x02);
    port.out(0, 0x00);
    expect(port.a20.enabled()).toBe(true);
  });

  it('resets when bit 0 goes from 0 to 1', () => {
    const port = port92();
    port.out(0, 0x02);
    expect(port.resets).toEqual([]);
    port.out(0, 0x03);
    expect(port.resets).toEqual(['port92']);
    port.out(0, 0x03);
    expect(port.resets).toEqual(['port92']);
  });

  it('reads back what was written', () => {
    const port = port92();
    port.out(0, 0x02);
    expect(port.in(0)).toBe(0x02);
  });
});

describe('reset control register', () => {
  it('resets when RST_CPU goes from 0 to 1', () => {
    const resets = recorded<ResetSource>();
    const port = bytePorts(createResetControl({ reset: resets.call, unimplemented: noUnknowns }));
    port.out(0, 0x02);
    expect(resets.heard).toEqual([]);
    port.out(0, 0x06);
    expect(resets.heard).toEqual(['cf9']);
    port.out(0, 0x06);
    expect(resets.heard).toEqual(['cf9']);
    expect(port.in(0)).toBe(0x06);
  });
});
