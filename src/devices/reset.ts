// Reset control register (RST_CNT, port 0xcf9) of Intel chipsets: RST_CPU going from 0 to 1 resets the machine.
// SYS_RST (soft or hard) and FULL_RST (power cycle) only say how; the value stays readable. Read: 82371SB, RC register.

import type { Device, ResetRequest, Unimplemented } from './device.ts';
import { adoptState, byteWide, copyState, hexByte, sayOnce } from './device.ts';

const RST_CNT = 0;
const RST_CNT_SYS_RST = 0x02;
const RST_CNT_RST_CPU = 0x04;
const RST_CNT_FULL_RST = 0x08;
const RST_CNT_MASK = RST_CNT_SYS_RST | RST_CNT_RST_CPU | RST_CNT_FULL_RST;

export type ResetControlOptions = { readonly reset: ResetRequest; readonly unimplemented: Unimplemented };

/** Port 0xcf9 at offset 0. */
export const createResetControl = (options: ResetControlOptions): Device => {
  const name = 'resetControl';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  let s = { value: 0 };

  return {
    name,
    ...byteWide(
      (offset) => {
        if (offset === RST_CNT) return s.value;
        loud.say(`read of offset ${hexByte(offset)}`);
        return 0xff;
      },
      (offset, value) => {
        if (offset !== RST_CNT) return loud.say(`write to offset ${hexByte(offset)}`);
        const resets = (value & ~s.value & RST_CNT_RST_CPU) !== 0;
        s.value = value & RST_CNT_MASK;
        if (resets) options.reset('cf9');
      },
    ),
    state: () => copyState(s),
    restore: (state) => {
      s = adoptState(name, s, state);
      loud.forget();
    },
    reset: () => {
      s = { value: 0 };
      loud.forget();
    },
  };
};
