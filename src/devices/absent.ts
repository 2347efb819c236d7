// What a PC may have in port space and this one leaves out on purpose: facts only. Software has to look whether these are
// there, and finds a bus on which nobody answers; so an access to them says nothing about the guest's health.

const at = (name: string, ...ranges: readonly (readonly [first: number, count: number])[]) => ({ name, ranges });

const ABSENT = [
  // Without the ports in between that others have: 0x80 and 0x92.
  at('the ISA DMA controllers', [0x00, 16], [0x81, 15], [0xc0, 32]),
  at('a Super I/O chip', [0x2e, 2], [0x4e, 2]),
  at('COM2', [0x2f8, 8]),
  at('COM3', [0x3e8, 8]),
  at('COM4', [0x2e8, 8]),
  // Each with the registers of its ECP mode, 0x400 above.
  at('LPT1', [0x378, 8], [0x778, 3]),
  at('LPT2', [0x278, 8], [0x678, 3]),
  at('LPT3', [0x3bc, 4], [0x7bc, 3]),
  // 0x3f6 and 0x376 are the IDE channels' control registers.
  at('the floppy controller', [0x3f0, 6], [0x3f7, 1]),
  at('a second floppy controller', [0x370, 6], [0x377, 1]),
  at('the primary IDE channel', [0x1f0, 8], [0x3f6, 1]),
  at('the secondary IDE channel', [0x170, 8], [0x376, 1]),
  at('the game port', [0x200, 8]),
  at('a monochrome display adapter', [0x3b0, 12]),
  at('the ISA Plug and Play write port', [0xa79, 1]),
  at('the EISA board identification', [0xc80, 4]),
  at("Bochs' display extension", [0x1ce, 3]),
  at("VMware's back door", [0x5658, 2]),
] as const;

const NAMES: ReadonlyMap<number, string> = new Map(
  ABSENT.flatMap(({ name, ranges }) =>
    ranges.flatMap(([first, count]) => Array.from({ length: count }, (_, i): [number, string] => [first + i, name])),
  ),
);

/** The device that a PC may have at this port, where this machine has none on purpose. */
export const absentDevice = (port: number): string | undefined => NAMES.get(port);
