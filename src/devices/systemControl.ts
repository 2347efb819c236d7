// System control port A (0x92) of PS/2 and later: bit 0 pulses the CPU's reset ("fast reset"), bit 1 is the
// alternate A20 gate. The other bits (LEDs, password lock) are kept and do nothing.

import type { A20Gate } from './a20Gate.ts';
import type { Device, ResetRequest, Unimplemented } from './device.ts';
import { adoptState, byteWide, copyState, hexByte, sayOnce } from './device.ts';

const PORT_92 = 0;
const PORT_92_FAST_RESET = 0x01;
const PORT_92_ALT_A20 = 0x02;

export type SystemControlOptions = {
  readonly a20: A20Gate;
  readonly reset: ResetRequest;
  readonly unimplemented: Unimplemented;
};

/** Port 0x92 at offset 0. */
export const createSystemControl = (options: SystemControlOptions): Device => {
  const name = 'systemControl';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  let s = { value: 0 };

  const driveA20 = (): void => options.a20.set('port92', (s.value & PORT_92_ALT_A20) !== 0);
  driveA20();

  return {
    name,
    ...byteWide(
      (offset) => {
        if (offset === PORT_92) return s.value;
        loud.say(`read of offset ${hexByte(offset)}`);
        return 0xff;
      },
      (offset, value) => {
        if (offset !== PORT_92) return loud.say(`write to offset ${hexByte(offset)}`);
        const resets = (value & ~s.value & PORT_92_FAST_RESET) !== 0;
        s.value = value;
        driveA20();
        if (resets) options.reset('port92');
      },
    ),
    state: () => copyState(s),
    restore: (state) => {
      s = adoptState(name, s, state);
      driveA20();
      loud.forget();
    },
    reset: () => {
      s = { value: 0 };
      driveA20();
      loud.forget();
    },
  };
};
