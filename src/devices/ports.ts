// Where a PC has its chips in port space: one row a chip, facts only. A chip's offset is port - base, so the first
// range starts at the base and later ranges keep their distance from it. The port bus (src/machine) routes an access
// by its first port. 0xcf9 lies inside the PCI configuration mechanism's range: the row with fewer ports wins.

export type PortRange = { readonly first: number; readonly count: number };
export type ChipPorts = { readonly base: number; readonly ranges: readonly PortRange[] };

const at = (...ranges: readonly (readonly [first: number, count: number])[]): ChipPorts => ({
  base: ranges[0]?.[0] ?? 0,
  ranges: ranges.map(([first, count]) => ({ first, count })),
});

export const PORTS = {
  /** 8259A pair: master, slave, edge/level control registers (ELCR). */
  pic8259: at([0x20, 2], [0xa0, 2], [0x4d0, 2]),
  /** 8254 counters and control word; system control port B (0x61), which gates and reads counter 2. */
  pit8254: at([0x40, 4], [0x61, 1]),
  /** Keyboard controller: data, status/command. */
  i8042: at([0x60, 1], [0x64, 1]),
  /** MC146818: index, data. */
  cmos: at([0x70, 2]),
  /** Power-on self test code display; Linux writes it as an I/O delay. */
  postCode: at([0x80, 1]),
  /** System control port A. */
  systemControl: at([0x92, 1]),
  /** QEMU's pc-testdev: latch, page flush, interrupt lines. */
  testDevice: at([0xe0, 8], [0x2000, 24]),
  /** The debug console of Bochs and QEMU. */
  debugConsole: at([0xe9, 1]),
  /** QEMU's isa-debug-exit. */
  debugExit: at([0xf4, 4]),
  /** QEMU's firmware configuration: selector, data. */
  fwCfg: at([0x510, 2]),
  com2: at([0x2f8, 8]),
  com3: at([0x3e8, 8]),
  com4: at([0x2e8, 8]),
  vga: at([0x3c0, 0x20]),
  com1: at([0x3f8, 8]),
  /** ACPI power management: PM1a event and control blocks, PM timer. */
  acpiPm: at([0x600, 0xc]),
  /** Reset control register. */
  resetControl: at([0xcf9, 1]),
  /** PCI configuration mechanism 1: CONFIG_ADDRESS, CONFIG_DATA. */
  pciConfig: at([0xcf8, 8]),
} as const;

/** Edge/level control of inputs 8 to 15. */
export const ELCR2 = 0x4d1;

/** ISA interrupt numbers (inputs of the 8259A pair, 8 and up on the slave). */
export const IRQ = { timer: 0, keyboard: 1, cascade: 2, com2: 3, com1: 4, rtc: 8, sci: 9, mouse: 12 } as const;
