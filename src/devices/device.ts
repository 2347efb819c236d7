// What every chip of this room looks like from outside. A chip sees an offset and a value, drives interrupt lines,
// and reads the guest clock; it knows no bus, no port number, no other clock and no random source.
//
// Offsets: a chip's offset is the port number less the chip's base port (ports.ts), also for chips whose ports do
// not stand together: the second 8259A of the pair is at offset 0x80, because its port is 0xa0 and the first's 0x20.
// Lines: restore() drives no line and calls no callback, because the chip at the other end keeps the level it sees;
// reset() is power-on, leaves lines low, and calls no callback either. The one exception to both is the A20 gate.

/** Bytes of one port access. */
export type AccessSize = 1 | 2 | 4;

/** Guest time, in nanoseconds since the machine started; never runs backwards between two restores. */
export type GuestClock = { now(): bigint };

/** An interrupt request line (or another output pin): true is the high level. */
export type InterruptLine = (level: boolean) => void;

/** Told of an access that a chip does not model, in one line of plain words; a chip says each text once. */
export type Unimplemented = (what: string) => void;

/** Which chip pulled the machine's reset line. */
export type ResetSource = '8042' | 'port92' | 'cf9' | 'init';

/** Called when the guest asks for a reset, inside the port access; it may reset the chip that calls. */
export type ResetRequest = (source: ResetSource) => void;

export type DeviceValue = boolean | number | string | readonly DeviceValue[] | { readonly [key: string]: DeviceValue };

/** Everything a chip remembers, as plain data that survives JSON; times are decimal strings or numbers of ticks. */
export type DeviceState = { readonly [key: string]: DeviceValue };

export type Device = {
  readonly name: string;
  /** Returns an unsigned value of `size` bytes. */
  read(offset: number, size: AccessSize): number;
  /** Takes the low `size` bytes of `value`. */
  write(offset: number, size: AccessSize, value: number): void;
  /** Would another read of the byte at an offset give the same again and change nothing, however much time passes? Absent: no. */
  steady?(offset: number): boolean;
  /** A copy: later changes of the chip do not show in it. */
  state(): DeviceState;
  /** Takes back what state() gave. Throws Error when the shape is another's (a host bug, not a guest one). */
  restore(state: DeviceState): void;
  /** Power-on state. */
  reset(): void;
  /** What the chip remembers beside its state. */
  readonly bulk?: BulkMemory;
};

/** Memory of a chip that is too big for state(): bytes, by their place on the chip. */
export type BulkMemory = {
  /** What the guest has changed, lowest place first; lengths are multiples of 4. Views, not copies. */
  pieces(): Iterable<{ readonly at: number; readonly bytes: Uint8Array }>;
  /** Takes back what pieces() gave: all that it had is forgotten before. */
  restore(pieces: Iterable<{ readonly at: number; readonly bytes: Uint8Array }>): void;
};

/** A chip at which something happens by itself as guest time passes. */
export type TimedDevice = Device & {
  /** Guest time in ns of the next change that the guest can see on a line; undefined when none is coming. */
  nextEvent(): bigint | undefined;
  /** Lets everything happen that is due at or before `now` (guest ns). Earlier times are a no-op. */
  advance(now: bigint): void;
  /** The ISA interrupt that its events are edges of and nothing else; undefined where they do more. */
  readonly irq?: number;
};

export const NS_PER_SECOND = 1_000_000_000n;

/** Says each distinct text once, until forget(). Chips forget on reset and restore, so that a re-run says it again. */
export const sayOnce = (unimplemented: Unimplemented): { say: Unimplemented; forget(): void } => {
  const said = new Set<string>();
  return {
    say: (what) => {
      if (said.has(what)) return;
      said.add(what);
      unimplemented(what);
    },
    forget: () => said.clear(),
  };
};

/**
 * The port interface of a chip with an 8-bit data bus. A wider access reaches consecutive offsets, low byte first,
 * as the ISA bus splits it (`outw` to an index/data pair counts on that).
 */
export const byteWide = (
  readByte: (offset: number) => number,
  writeByte: (offset: number, value: number) => void,
): Pick<Device, 'read' | 'write'> => ({
  read: (offset, size) => {
    if (size === 1) return readByte(offset) & 0xff;
    let value = 0;
    for (let i = 0; i < size; i++) value |= (readByte(offset + i) & 0xff) << (8 * i);
    return value >>> 0;
  },
  write: (offset, size, value) => {
    for (let i = 0; i < size; i++) writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  },
});

const copyValue = (value: DeviceValue): DeviceValue => {
  if (typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(copyValue);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copyValue(item)]));
};

/** A deep copy of a chip's state. */
export const copyState = <S extends DeviceState>(state: S): S => copyValue(state) as S;

const misfit = (like: DeviceValue, value: DeviceValue | undefined, path: string): string | undefined => {
  if (typeof value !== typeof like || Array.isArray(value) !== Array.isArray(like)) return path;
  if (typeof like !== 'object' || Array.isArray(like)) return undefined;
  const known = like as DeviceState;
  const given = value as DeviceState;
  const stranger = Object.keys(given).find((key) => !Object.hasOwn(known, key));
  if (stranger !== undefined) return `${path}.${stranger}`;
  for (const [key, item] of Object.entries(known)) {
    const wrong = misfit(item, given[key], `${path}.${key}`);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
};

/** A deep copy of `saved`, checked to have the fields and types of `current`. Throws Error naming the first misfit. */
export const adoptState = <S extends DeviceState>(device: string, current: S, saved: DeviceState): S => {
  const wrong = misfit(current, saved, 'state');
  if (wrong !== undefined) throw new Error(`${device}: saved state does not fit at ${wrong}`);
  return copyState(saved) as S;
};

/** An array of `count` zero bytes. */
export const zeros = (count: number): number[] => Array.from({ length: count }, () => 0);

/** Two hexadecimal digits or more, with 0x. */
export const hexByte = (value: number): string => `0x${value.toString(16).padStart(2, '0')}`;
