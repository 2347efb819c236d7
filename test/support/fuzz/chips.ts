// Short sequences of guest code that reach the chips, by ports and by memory, and that make them interrupt.

import { PORTS } from '../../../src/devices/ports.ts';
import { AX, type Bits, BX, CX, DI, DX, mov, SI, wide } from './assembler.ts';
import * as place from './places.ts';
import { COUNTS, type Snippet } from './snippets.ts';
import type { Source } from './source.ts';

// Ports, chips and memory-mapped registers ------------------------------------------------------------------------------

const CHIP_PORTS: readonly number[] = Object.values(PORTS).flatMap(({ ranges }) =>
  ranges.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i)),
);
/** Ports that end the run are written to seldom. */
const ENDING = new Set([0x64, 0x92, 0xcf9, 0xf4, 0xf5, 0xf6, 0xf7, 0x604, 0x605, 0xcf8 + 1]);

const portNumber = (random: Source): number => {
  const port = random.percent(90) ? random.pick(CHIP_PORTS) : random.below(0x10000);
  return ENDING.has(port) && random.percent(95) ? 0x3f8 + random.below(8) : port;
};

const port: Snippet = (random, { bits }) => {
  const value = random.percent(70) ? random.below(256) : random.u32();
  const out = [[0xee], [0xef], [...wide(bits), 0xef], [0x66, 0xef]];
  const into = [[0xec], [0xed], [...wide(bits), 0xed], [0x66, 0xed]];
  const at = mov(bits, DX, portNumber(random));
  return random.percent(65) ? [...at, ...mov(bits, AX, value), ...random.pick(out)] : [...at, ...random.pick(into)];
};

const portString: Snippet = (random, { bits }) => [
  ...mov(bits, DX, portNumber(random)),
  ...mov(bits, CX, random.percent(90) ? random.below(64) : random.pick(COUNTS)),
  ...mov(bits, random.percent(50) ? DI : SI, place.somewhere.address(random)),
  ...(random.percent(20) ? [0xfd] : []),
  ...(random.percent(70) ? [0xf3] : []),
  ...(random.percent(30) ? [0x66] : []),
  random.pick([0x6c, 0x6d, 0x6e, 0x6f]),
];

/** PCI configuration by mechanism 1. */
const pci: Snippet = (random, { bits }) => {
  const address =
    (random.percent(90) ? 0x8000_0000 : 0) + (random.below(8) << 11) + (random.below(8) << 8) + random.below(256);
  const select = [...mov(bits, DX, 0xcf8), ...mov(bits, AX, address >>> 0), ...wide(bits), 0xef];
  return [
    ...select,
    ...mov(bits, DX, 0xcfc + random.below(4)),
    ...mov(bits, AX, random.u32()),
    ...random.pick([[0xee], [0xef], [...wide(bits), 0xef], [0xec], [...wide(bits), 0xed]]),
  ];
};

const fwCfg: Snippet = (random, { bits }) => [
  ...mov(bits, DX, 0x510),
  ...mov(bits, AX, random.percent(70) ? random.below(0x30) : random.u32()),
  0x66,
  0xef,
  ...mov(bits, DX, 0x511),
  ...mov(bits, CX, random.below(32)),
  0xf3,
  0x6c,
];

const ACCESSES: readonly (readonly number[])[] = [
  [0x8a, 0x03],
  [0x8b, 0x03],
  [0x66, 0x8b, 0x03],
  [0x48, 0x8b, 0x03],
  [0x88, 0x03],
  [0x89, 0x03],
  [0x66, 0x89, 0x03],
  [0x48, 0x89, 0x03],
  [0x87, 0x03],
  [0xf0, 0x01, 0x03],
  [0xf0, 0x0f, 0xb1, 0x03],
  [0xf0, 0x0f, 0xc7, 0x0b],
  [0xf0, 0x48, 0x0f, 0xc7, 0x0b],
  [0x0f, 0x10, 0x03],
  [0x0f, 0x11, 0x03],
  [0x66, 0x0f, 0xe7, 0x03],
  [0xdf, 0x2b],
  [0xdb, 0x3b],
  [0xff, 0x33],
  [0x8f, 0x03],
  [0x0f, 0xae, 0x03],
  [0x0f, 0xae, 0x0b],
  [0xff, 0x13],
  [0x0f, 0xba, 0x2b, 0x07],
  [0x0f, 0xab, 0x0b],
  [0xd1, 0x23],
  [0x0f, 0xc1, 0x03],
  [0x0f, 0x38, 0xf0, 0x03],
];

const mapped: Snippet = (random, { bits }) => {
  const [start, length] = random.pick([
    [place.LOCAL_APIC, 0x400],
    [place.IO_APIC, 0x40],
    [0xa0000, 0x20000],
    [0xc0000, 0x40000],
    [0x8000_0000, 0x2000],
  ] as const);
  const aligned = random.below(length) & ~15;
  const address =
    start + (random.percent(70) ? aligned : random.percent(50) ? random.below(length) : length - random.below(16));
  return [
    ...mov(bits, AX, random.percent(60) ? random.below(0x100) : random.u32()),
    ...mov(bits, BX, address),
    ...(bits === 16 ? [0x67] : []),
    ...random.pick(ACCESSES),
  ];
};

export const CHIPS: readonly Snippet[] = [port, port, port, portString, pci, fwCfg, mapped, mapped, mapped];

// Interrupts ------------------------------------------------------------------------------------------------------------

const out = (bits: Bits, portNumber: number, value: number): number[] => [
  ...mov(bits, DX, portNumber),
  ...mov(bits, AX, value),
  0xee,
];

const pit: Snippet = (random, { bits }) => {
  const counter = random.below(3);
  const reload = random.percent(70) ? random.below(200) : random.below(0x10000);
  return [
    ...out(bits, 0x43, (counter << 6) | 0x30 | random.below(16)),
    ...out(bits, 0x40 + counter, reload & 0xff),
    ...out(bits, 0x40 + counter, reload >> 8),
  ];
};

/** Initialises the 8259A pair with vectors from 0x20 on and opens it. */
const pic: Snippet = (random, { bits }) => {
  const chip = random.pick([0x20, 0x20, 0xa0]);
  const initialise = [...out(bits, chip, 0x11), ...out(bits, chip + 1, chip === 0x20 ? 0x20 : 0x28)].concat(
    out(bits, chip + 1, chip === 0x20 ? 4 : 2),
    out(bits, chip + 1, random.pick([1, 3])),
  );
  return random.percent(50) ? initialise : out(bits, chip + 1, random.pick([0, 0, random.below(256)]));
};

const rtc: Snippet = (random, { bits }) => [
  ...out(bits, 0x70, random.pick([0xa, 0xb, 0xb, 0xc, random.below(128)])),
  ...out(bits, 0x71, random.pick([0x21, 0x23, 0x42, 0x72, random.below(256)])),
  ...out(bits, 0x70, 0xc),
  0xec,
];

const apicRegister = (bits: Bits, offset: number, value: number): number[] => [
  ...mov(bits, BX, place.LOCAL_APIC + offset),
  ...mov(bits, AX, value),
  ...(bits === 16 ? [0x67, 0x66, 0x89, 0x03] : [0x89, 0x03]),
];

const apic: Snippet = (random, { bits }) => {
  const vector = 0x20 + random.below(0xe0);
  switch (random.below(4)) {
    case 0:
      return apicRegister(bits, 0xf0, 0x100 | vector);
    case 1:
      return [
        ...apicRegister(bits, 0x320, vector | random.pick([0, 0x20000, 0x40000])),
        ...apicRegister(bits, 0x380, random.below(5000)),
      ];
    case 2:
      return apicRegister(
        bits,
        0x300,
        vector | random.pick([0x40000, 0x40000, 0x80000, 0]) | (random.percent(20) ? random.below(8) << 8 : 0),
      );
    default:
      return apicRegister(bits, 16 * random.below(64), random.u32());
  }
};

const ioApic: Snippet = (random, { bits }) => {
  const write = (index: number, value: number): number[] => [
    ...mov(bits, BX, place.IO_APIC),
    ...mov(bits, AX, index),
    ...(bits === 16 ? [0x67, 0x66] : []),
    ...[0x89, 0x03],
    ...mov(bits, AX, value),
    ...(bits === 16 ? [0x67, 0x66] : []),
    ...[0x89, 0x43, 0x10],
  ];
  return write(
    0x10 + 2 * random.below(24),
    random.percent(80) ? (0x20 + random.below(0xe0)) | random.pick([0, 0x8000, 0x2000]) : random.u32(),
  );
};

const uart: Snippet = (random, { bits }) => [
  ...out(bits, 0x3f9, random.below(16)),
  ...out(bits, 0x3fc, random.percent(70) ? 0xb : random.below(32)),
  ...out(bits, 0x3f8, random.below(256)),
];

const halt: Snippet = (random) => random.pick([[0xfb, 0xf4], [0xfb, 0xf4], [0xfb], [0xfa], [0xfb, 0x90, 0xf4], [0xf4]]);

const shadow: Snippet = (_random, { bits, data }) => [...mov(bits, AX, data), 0x8e, 0xd0, 0xfb, 0xcd, 0x80];

export const INTERRUPTS: readonly Snippet[] = [
  pit,
  pit,
  pic,
  pic,
  rtc,
  apic,
  apic,
  apic,
  ioApic,
  uart,
  halt,
  halt,
  halt,
  shadow,
];
