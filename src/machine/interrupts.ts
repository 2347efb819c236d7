// How interrupts come to processors, by their numbers: through the 8259A pair alone, or, with local APICs, through an IO-APIC
// too that sees the same lines. Firmware leaves the APIC of processor 0 in virtual wire mode (MP specification 3.6.2.2): what
// the 8259A pair asks for passes it by, and comes to no other processor.

import { type ApicMessage, DELIVERY } from '../devices/apicRegisters.ts';
import type { Device, GuestClock, InterruptLine, TimedDevice, Unimplemented } from '../devices/device.ts';
import { createIoApic, IO_APIC_BASE, IO_APIC_SIZE } from '../devices/ioApic.ts';
import { createLocalApic, type LocalApic } from '../devices/localApic.ts';
import { createPic8259, type Pic8259 } from '../devices/pic8259.ts';
import { IRQ } from '../devices/ports.ts';
import type { CpuModel } from '../x86/models.ts';
import type { DeviceWindow } from './memoryBus.ts';

export type InterruptOptions = {
  /** With feature APIC there is a local APIC and an IO-APIC. */
  readonly model: CpuModel;
  /** How many there are, 1 at least. */
  readonly processors: number;
  /** The number of the one whose access is under way: each has its local APIC at the same address. */
  readonly running: () => number;
  readonly clock: GuestClock;
  /** Time stamp counter less guest time. */
  readonly tscOffset: (processor: number) => bigint;
  /** A processor was sent an INIT. */
  readonly init: (processor: number) => void;
  /** The next interrupt may come sooner than was thought. */
  readonly changed: () => void;
  readonly unimplemented: Unimplemented;
};

export type Interrupts = {
  readonly pic: Pic8259;
  /** By number. */
  readonly processors: readonly ProcessorInterrupts[];
  /** The chips that are not reached by ports. */
  readonly devices: readonly Device[];
  readonly timed: readonly TimedDevice[];
  readonly windows: readonly DeviceWindow[];
  /** The line of an ISA interrupt. */
  readonly line: (irq: number) => InterruptLine;
  /** The line into an input of the IO-APIC alone; absent without one. */
  readonly ioApicLine?: (pin: number) => InterruptLine;
  /** The line of a PCI interrupt, which comes to an input of the 8259A pair or of the IO-APIC that is not the other's. */
  readonly pciLine: (input: PciInput) => InterruptLine;
  /** A write of 4 bytes to 0xfee00000 up to 0xfeefffff: an interrupt message (SDM 3A 11.11). */
  readonly message: (address: number, data: number) => void;
  /** May what happens at an ISA line become an interrupt while the processor does nothing? */
  hears(irq: number): boolean;
};

/** What comes to one processor. */
export type ProcessorInterrupts = {
  readonly localApic: LocalApic | undefined;
  /** Is there one that it should take? */
  pending(): boolean;
  /** Takes it: its vector. */
  acknowledge(): number;
  readonly nmi: NmiPin;
};

/** The processor's NMI input. */
export type NmiPin = {
  pending(): boolean;
  /** Takes it. */
  acknowledge(): void;
  /** May one come without the processor doing anything? */
  awaited(): boolean;
};

export type PciInput = { readonly irq: number } | { readonly gsi: number };

const APIC_SIZE = 0x1000;
const nobody: InterruptLine = () => undefined;

export function createInterrupts(options: InterruptOptions): Interrupts {
  // Without local APICs there is nothing that would start another processor, or tell them apart.
  const pic = createPic8259(options);
  return options.model.features.has('APIC') ? withApics(pic, options) : picAlone(pic);
}

const picAlone = (pic: Pic8259): Interrupts => ({
  pic,
  processors: [
    {
      localApic: undefined,
      pending: () => pic.pending(),
      acknowledge: () => pic.acknowledge(),
      nmi: { pending: () => false, acknowledge: () => {}, awaited: () => false },
    },
  ],
  devices: [],
  timed: [],
  windows: [],
  line: (irq) => pic.line(irq),
  pciLine: (input) => ('irq' in input ? pic.line(input.irq) : nobody),
  message: () => undefined,
  hears: (irq) => pic.hears(irq),
});

function withApics(pic: Pic8259, options: InterruptOptions): Interrupts {
  const { changed, unimplemented } = options;
  const apics = Array.from({ length: options.processors }, (_, number) =>
    createLocalApic({
      ...options,
      number,
      tscOffset: () => options.tscOffset(number),
      init: () => options.init(number),
      toOthers: (message) =>
        void deliver(
          message,
          apics.filter((_other, n) => n !== number),
        ),
      x2apic: options.model.features.has('X2APIC'),
      tscDeadline: options.model.features.has('TSC_DEADLINE'),
      endOfInterrupt: (vector) => ioApic.endOfInterrupt(vector),
    }),
  );
  const ioApic = createIoApic({ send: (message) => deliver(message, apics), changed, unimplemented });
  const [first] = apics as [LocalApic];
  first.virtualWire();
  const passesPic = (): boolean => first.passesPic() || ioApic.passesPic();
  const picAsks = (): boolean => pic.pending() && passesPic();
  return {
    pic,
    processors: apics.map((localApic, number) => ({
      localApic,
      pending: () => localApic.pending() || (number === 0 && picAsks()),
      acknowledge: () => (localApic.pending() ? localApic.acknowledge() : pic.acknowledge()),
      nmi: {
        pending: () => localApic.nmiPending(),
        acknowledge: () => localApic.acknowledgeNmi(),
        awaited: () => ioApic.sendsNmi(),
      },
    })),
    devices: [...apics, ioApic],
    timed: apics,
    windows: [ownWindow(apics, options.running), { base: () => IO_APIC_BASE, size: IO_APIC_SIZE, device: ioApic }],
    line: (irq) => {
      const toPic = pic.line(irq);
      const toIoApic = ioApic.line(pinOf(irq));
      return (level) => {
        toPic(level);
        toIoApic(level);
      };
    },
    pciLine: (input) => ('irq' in input ? pic.line(input.irq) : ioApic.line(input.gsi)),
    message: (address, data) => void deliver(messageOf(address, data), apics),
    ioApicLine: (pin) => ioApic.line(pin),
    hears: (irq) => (pic.hears(irq) && passesPic()) || ioApic.hears(pinOf(irq)),
  };
}

/** To all that it names, or, with lowest priority, to the first of them that takes it. @returns did any? */
function deliver(message: ApicMessage, apics: readonly LocalApic[]): boolean {
  if (message.mode === DELIVERY.lowest) return apics.some((apic) => apic.receive(message));
  return apics.map((apic) => apic.receive(message)).includes(true);
}

/** A processor reaches its own local APIC only. */
function ownWindow(apics: readonly LocalApic[], running: () => number): DeviceWindow {
  const own = (): LocalApic => apics[running()] as LocalApic;
  return {
    base: () => own().mmioBase,
    size: APIC_SIZE,
    device: {
      get name() {
        return own().name;
      },
      read: (offset, size) => own().read(offset, size),
      write: (offset, size, value) => own().write(offset, size, value),
    },
  };
}

/** The 8254 is at input 2, because input 0 is the 8259A pair's; the MADT says so to kernels. */
const pinOf = (irq: number): number => (irq === IRQ.timer ? 2 : irq);

/** What an interrupt message says (SDM 3A 11.11.1 and 11.11.2). */
const messageOf = (address: number, data: number): ApicMessage => ({
  vector: data & 0xff,
  mode: (data >>> 8) & 7,
  destination: (address >>> 12) & 0xff,
  logical: (address & 4) !== 0,
  level: (data & 0x8000) !== 0,
});
