// The register file of a VGA at ports 0x3c0..0x3df: indexed registers and the DAC palette as plain storage, so that
// code which programs a text console reads back what it wrote. Nothing is drawn, no mode is set, the text memory
// at 0xb8000 is ordinary RAM of the machine. Input status 1 (0x3da) shows display and retrace alternately, once a
// read, so that loops that wait for an edge end. Power-on is text mode 3, as firmware leaves it. Colour only.

import type { Device, Unimplemented } from './device.ts';
import { adoptState, byteWide, copyState, hexByte, sayOnce, zeros } from './device.ts';

const ATTRIBUTE = 0x00;
const ATTRIBUTE_READ = 0x01;
const MISC_WRITE_STATUS_0 = 0x02;
const SUBSYSTEM_ENABLE = 0x03;
const SEQUENCER_INDEX = 0x04;
const SEQUENCER_DATA = 0x05;
const DAC_MASK = 0x06;
const DAC_READ_INDEX_STATE = 0x07;
const DAC_WRITE_INDEX = 0x08;
const DAC_DATA = 0x09;
const FEATURE_READ = 0x0a;
const MISC_READ = 0x0c;
const GRAPHICS_INDEX = 0x0e;
const GRAPHICS_DATA = 0x0f;
const CRTC_INDEX = 0x14;
const CRTC_DATA = 0x15;
const STATUS_1_FEATURE_WRITE = 0x1a;
/** CRT controller registers. */
const CRTC_START_HIGH = 0x0c;
const CRTC_START_LOW = 0x0d;

/** Display disabled and vertical retrace. */
const STATUS_1_RETRACE = 0x09;
const ATTRIBUTE_INDEX_MASK = 0x1f;
const DAC_STATE_READ = 0x03;
const DAC_STATE_WRITE = 0x00;

/** Text mode 3, 80 x 25 (IBM VGA technical reference, mode tables). */
const MODE_3 = {
  misc: 0x67,
  sequencer: [0x03, 0x00, 0x03, 0x00, 0x02],
  crtc: [
    0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f,
    0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
  ],
  graphics: [0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff],
  attribute: [
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f,
    0x08, 0x00,
  ],
} as const;

const registers = (count: number, first: readonly number[]): number[] => [...first, ...zeros(count - first.length)];

type Indexed = { index: number; values: number[] };

type VgaState = {
  misc: number;
  feature: number;
  enable: number;
  attribute: Indexed;
  /** The attribute port's flip-flop: the next write is data. */
  attributeData: boolean;
  sequencer: Indexed;
  graphics: Indexed;
  crtc: Indexed;
  dacMask: number;
  dacState: number;
  /** Byte positions in the palette, 3 * colour + component: one for reads, one for writes. */
  dacRead: number;
  dacWrite: number;
  palette: number[];
  retrace: boolean;
};

const powerOn = (): VgaState => ({
  misc: MODE_3.misc,
  feature: 0,
  enable: 1,
  attribute: { index: 0x20, values: registers(0x20, MODE_3.attribute) },
  attributeData: false,
  sequencer: { index: 0, values: registers(0x20, MODE_3.sequencer) },
  graphics: { index: 0, values: registers(0x20, MODE_3.graphics) },
  crtc: { index: 0, values: registers(0x100, MODE_3.crtc) },
  dacMask: 0xff,
  dacState: DAC_STATE_WRITE,
  dacRead: 0,
  dacWrite: 0,
  palette: registers(0x300, []),
  retrace: false,
});

const load = (file: Indexed): number => file.values[file.index % file.values.length] ?? 0;
const store = (file: Indexed, value: number): void => {
  file.values[file.index % file.values.length] = value;
};

export type VgaPortsOptions = { readonly unimplemented: Unimplemented };

export type VgaPorts = Device & {
  /** Cell of the text memory at which the screen begins. */
  startCell(): number;
};

/** VGA registers at offsets 0..0x1f of port 0x3c0. */
export const createVgaPorts = (options: VgaPortsOptions): VgaPorts => {
  const name = 'vga';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  let s = powerOn();

  const writeAttribute = (value: number): void => {
    if (!s.attributeData) s.attribute.index = value;
    else s.attribute.values[s.attribute.index & ATTRIBUTE_INDEX_MASK] = value;
    s.attributeData = !s.attributeData;
  };

  const readStatus1 = (): number => {
    s.attributeData = false;
    s.retrace = !s.retrace;
    return s.retrace ? STATUS_1_RETRACE : 0;
  };

  const readPalette = (): number => {
    const value = s.palette[s.dacRead] ?? 0;
    s.dacRead = (s.dacRead + 1) % s.palette.length;
    return value;
  };

  const writePalette = (value: number): void => {
    s.palette[s.dacWrite] = value & 0x3f;
    s.dacWrite = (s.dacWrite + 1) % s.palette.length;
  };

  const selectPalette = (value: number, state: number): void => {
    s.dacState = state;
    if (state === DAC_STATE_READ) s.dacRead = value * 3;
    else s.dacWrite = value * 3;
  };

  const readers: Readonly<Record<number, () => number>> = {
    [ATTRIBUTE]: () => s.attribute.index,
    [ATTRIBUTE_READ]: () => s.attribute.values[s.attribute.index & ATTRIBUTE_INDEX_MASK] ?? 0,
    [MISC_WRITE_STATUS_0]: () => 0,
    [SUBSYSTEM_ENABLE]: () => s.enable,
    [SEQUENCER_INDEX]: () => s.sequencer.index,
    [SEQUENCER_DATA]: () => load(s.sequencer),
    [DAC_MASK]: () => s.dacMask,
    [DAC_READ_INDEX_STATE]: () => s.dacState,
    [DAC_WRITE_INDEX]: () => Math.floor(s.dacWrite / 3),
    [DAC_DATA]: readPalette,
    [FEATURE_READ]: () => s.feature,
    [MISC_READ]: () => s.misc,
    [GRAPHICS_INDEX]: () => s.graphics.index,
    [GRAPHICS_DATA]: () => load(s.graphics),
    [CRTC_INDEX]: () => s.crtc.index,
    [CRTC_DATA]: () => load(s.crtc),
    [STATUS_1_FEATURE_WRITE]: readStatus1,
  };

  const writers: Readonly<Record<number, (value: number) => void>> = {
    [ATTRIBUTE]: writeAttribute,
    [MISC_WRITE_STATUS_0]: (value) => void (s.misc = value),
    [SUBSYSTEM_ENABLE]: (value) => void (s.enable = value & 1),
    [SEQUENCER_INDEX]: (value) => void (s.sequencer.index = value),
    [SEQUENCER_DATA]: (value) => store(s.sequencer, value),
    [DAC_MASK]: (value) => void (s.dacMask = value),
    [DAC_READ_INDEX_STATE]: (value) => selectPalette(value, DAC_STATE_READ),
    [DAC_WRITE_INDEX]: (value) => selectPalette(value, DAC_STATE_WRITE),
    [DAC_DATA]: writePalette,
    [GRAPHICS_INDEX]: (value) => void (s.graphics.index = value),
    [GRAPHICS_DATA]: (value) => store(s.graphics, value),
    [CRTC_INDEX]: (value) => void (s.crtc.index = value),
    [CRTC_DATA]: (value) => store(s.crtc, value),
    [STATUS_1_FEATURE_WRITE]: (value) => void (s.feature = value),
  };

  return {
    name,
    startCell: () => ((s.crtc.values[CRTC_START_HIGH] ?? 0) << 8) | (s.crtc.values[CRTC_START_LOW] ?? 0),
    ...byteWide(
      (offset) => {
        const reader = readers[offset];
        if (reader !== undefined) return reader();
        loud.say(`read of offset ${hexByte(offset)}`);
        return 0xff;
      },
      (offset, value) => {
        const writer = writers[offset];
        if (writer !== undefined) writer(value);
        else loud.say(`write to offset ${hexByte(offset)}`);
      },
    ),
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
