// Intel 8254 interval timer and the system control port B (0x61) around it. Counter 0's OUT is IRQ0, counter 1 is
// the refresh timer whose toggle shows in port 0x61 bit 4, counter 2 is gated and read through port 0x61.
// The counters are pitChannel.ts. IRQ0 is driven at rising edges only: OUT's fall inside a period (one clock in
// mode 2, half a period in mode 3) is sent together with the next rise, so that one period is one event.
// Power-on: no counter runs until it is programmed, as the data sheet has it; a PC's firmware starts counter 0.

import type { GuestClock, InterruptLine, TimedDevice, Unimplemented } from './device.ts';
import { adoptState, byteWide, copyState, hexByte, NS_PER_SECOND, sayOnce } from './device.ts';
import type { PitChannel } from './pitChannel.ts';
import * as channel from './pitChannel.ts';

/** Input clock of a PC's 8254, Hz. */
const PIT_HZ = 1_193_182n;

const CONTROL_WORD = 3;
const PORT_61 = 0x21;

const SC_READ_BACK = 3;
const RW_COUNTER_LATCH = 0;
/** Read-back command: these two bits are active low. */
const READ_BACK_NO_COUNT = 0x20;
const READ_BACK_NO_STATUS = 0x10;

const PORT_61_GATE2 = 0x01;
const PORT_61_WRITABLE = 0x0f;
const PORT_61_REFRESH = 0x10;
const PORT_61_OUT2 = 0x20;
/** Ticks between two toggles of the refresh bit: 18 clocks of 838 ns are the 15.085 us DRAM refresh. */
const REFRESH_TICKS = 18;

export type Pit8254Options = {
  readonly clock: GuestClock;
  /** Counter 0's OUT pin. */
  readonly interrupt: InterruptLine;
  readonly unimplemented: Unimplemented;
};

type PitState = { channels: PitChannel[]; port61: number; line: boolean };

const powerOn = (): PitState => ({
  channels: [channel.powerOnChannel(true), channel.powerOnChannel(true), channel.powerOnChannel(false)],
  port61: 0,
  line: false,
});

/** Clock periods of the 8254 that have ended at guest time `ns`. */
export const pitTicks = (ns: bigint): number => Number((ns * PIT_HZ) / NS_PER_SECOND);

/** The first guest time in ns at which pitTicks() gives `tick`. */
export const pitTickTime = (tick: number): bigint => (BigInt(tick) * NS_PER_SECOND + PIT_HZ - 1n) / PIT_HZ;

/** The 8254 at offsets 0..3 and port 0x61 at offset 0x21. */
export const createPit8254 = (options: Pit8254Options): TimedDevice => {
  const name = 'pit8254';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  let s = powerOn();

  const counter = (index: number): PitChannel => {
    const found = s.channels[index];
    if (found === undefined) throw new RangeError(`${name}: no counter ${index}`);
    return found;
  };

  const drive = (level: boolean): void => {
    if (level === s.line) return;
    s.line = level;
    options.interrupt(level);
  };

  const settleTo = (tick: number): void => {
    channel.settle(counter(1), tick);
    channel.settle(counter(2), tick);
    if (channel.settle(counter(0), tick) === 0) return;
    drive(false);
    drive(true);
  };

  const present = (): number => {
    const tick = pitTicks(options.clock.now());
    settleTo(tick);
    return tick;
  };

  const readBack = (command: number, tick: number): void => {
    s.channels.forEach((ch, index) => {
      if ((command & (2 << index)) === 0) return;
      if ((command & READ_BACK_NO_COUNT) === 0) channel.latchCount(ch, tick);
      if ((command & READ_BACK_NO_STATUS) === 0) channel.latchStatus(ch, tick);
    });
  };

  const writeControl = (value: number, tick: number): void => {
    const select = value >> 6;
    if (select === SC_READ_BACK) return readBack(value, tick);
    if (((value >> 4) & 3) === RW_COUNTER_LATCH) return channel.latchCount(counter(select), tick);
    channel.programChannel(counter(select), value);
    if (select === 0) drive(channel.outLevel(counter(0), tick));
  };

  const writeCounter = (index: number, value: number, tick: number): void => {
    channel.writeChannel(counter(index), value, tick);
    if (index === 0) drive(channel.outLevel(counter(0), tick));
  };

  const readPort61 = (tick: number): number => {
    const refresh = Math.floor(tick / REFRESH_TICKS) % 2 === 1 ? PORT_61_REFRESH : 0;
    const out2 = channel.outLevel(counter(2), tick) ? PORT_61_OUT2 : 0;
    return s.port61 | refresh | out2;
  };

  const readByte = (offset: number): number => {
    const tick = present();
    if (offset < CONTROL_WORD) return channel.readChannel(counter(offset), tick);
    if (offset === PORT_61) return readPort61(tick);
    loud.say(offset === CONTROL_WORD ? 'read of the control word' : `read of offset ${hexByte(offset)}`);
    return 0xff;
  };

  const writeByte = (offset: number, value: number): void => {
    const tick = present();
    if (offset < CONTROL_WORD) return writeCounter(offset, value, tick);
    if (offset === CONTROL_WORD) return writeControl(value, tick);
    if (offset !== PORT_61) return loud.say(`write to offset ${hexByte(offset)}`);
    s.port61 = value & PORT_61_WRITABLE;
    channel.setGate(counter(2), (value & PORT_61_GATE2) !== 0, tick);
  };

  return {
    name,
    ...byteWide(readByte, writeByte),
    nextEvent: () => {
      const tick = channel.nextRise(counter(0));
      return tick === undefined ? undefined : pitTickTime(tick);
    },
    advance: (now) => settleTo(pitTicks(now)),
    state: () => copyState(s),
    restore: (state) => {
      s = adoptState(name, s, state);
      loud.forget();
    },
    reset: () => {
      s = powerOn();
      loud.forget();
    },
  };
};
