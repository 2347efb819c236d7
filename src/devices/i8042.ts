// Intel 8042 keyboard controller with a keyboard on which nobody types, and an auxiliary port with no mouse. It
// answers at once: the input buffer is never full. It also owns two pins of a PC that have nothing to do with keys:
// output port bit 0 resets the machine when it goes low, bit 1 is the A20 gate.
// Scan-code translation knows the one keyboard reply it would change (the second byte of the identification).
// Power-on: the configuration byte is what firmware leaves. Read: IBM PS/2 technical reference, "Keyboard and
// auxiliary device controller"; keyboard commands ibid., "Keyboard (101- and 102-key)".

import type { A20Gate } from './a20Gate.ts';
import type { Device, InterruptLine, ResetRequest, Unimplemented } from './device.ts';
import { adoptState, byteWide, copyState, hexByte, sayOnce, zeros } from './device.ts';

const DATA = 0;
const STATUS_COMMAND = 4;

const STATUS_OBF = 0x01;
const STATUS_SYS = 0x04;
const STATUS_CMD = 0x08;
const STATUS_UNLOCKED = 0x10;
const STATUS_AUX_OBF = 0x20;
const STATUS_TIMEOUT = 0x40;

const CONFIG_KBD_INT = 0x01;
const CONFIG_AUX_INT = 0x02;
const CONFIG_SYS = 0x04;
const CONFIG_KBD_DISABLE = 0x10;
const CONFIG_AUX_DISABLE = 0x20;
const CONFIG_XLATE = 0x40;

const OUTPUT_RESET_N = 0x01;
const OUTPUT_A20 = 0x02;
const OUTPUT_KBD_OBF = 0x10;
const OUTPUT_AUX_OBF = 0x20;
const OUTPUT_POWER_ON = 0xcf;
/** Input port: keyboard not locked. */
const INPUT_UNLOCKED = 0x80;

const CMD_READ_RAM = 0x20;
const CMD_WRITE_RAM = 0x60;
const CMD_TEST_PASSWORD = 0xa4;
const CMD_AUX_DISABLE = 0xa7;
const CMD_AUX_ENABLE = 0xa8;
const CMD_AUX_TEST = 0xa9;
const CMD_SELF_TEST = 0xaa;
const CMD_KBD_TEST = 0xab;
const CMD_KBD_DISABLE = 0xad;
const CMD_KBD_ENABLE = 0xae;
const CMD_READ_INPUT_PORT = 0xc0;
const CMD_READ_OUTPUT_PORT = 0xd0;
const CMD_WRITE_OUTPUT_PORT = 0xd1;
const CMD_WRITE_KBD_BUFFER = 0xd2;
const CMD_WRITE_AUX_BUFFER = 0xd3;
const CMD_WRITE_AUX = 0xd4;
const CMD_A20_DISABLE = 0xdd;
const CMD_A20_ENABLE = 0xdf;
const CMD_READ_TEST_INPUTS = 0xe0;
const CMD_PULSE = 0xf0;

const SELF_TEST_PASSED = 0x55;
const NO_PASSWORD = 0xf1;

const KBD_SET_LEDS = 0xed;
const KBD_ECHO = 0xee;
const KBD_SCAN_CODE_SET = 0xf0;
const KBD_IDENTIFY = 0xf2;
const KBD_SET_RATE = 0xf3;
const KBD_ENABLE = 0xf4;
const KBD_SET_ALL_MAKE_BREAK = 0xfa;
const KBD_RESEND = 0xfe;
const KBD_RESET = 0xff;
const KBD_ACK = 0xfa;
const KBD_SELF_TEST_PASSED = 0xaa;
const KBD_ID = [0xab, 0x83] as const;
const KBD_ID_TRANSLATED = 0x41;

const EMPTY = -1;
/** Marks beside a byte on its way to the output buffer. */
const FROM_AUX = 0x100;
const TIMED_OUT = 0x200;

export type I8042Options = {
  /** IRQ1 and IRQ12. */
  readonly keyboardInterrupt: InterruptLine;
  readonly auxInterrupt: InterruptLine;
  readonly a20: A20Gate;
  readonly reset: ResetRequest;
  readonly unimplemented: Unimplemented;
};

type I8042State = {
  /** The controller's 32 bytes of RAM; byte 0 is the configuration byte. */
  ram: number[];
  outputPort: number;
  /** The byte to read at DATA, with its marks, or EMPTY. */
  buffer: number;
  /** What the controller and what the keyboard wants to put there next. */
  replies: number[];
  keyboard: number[];
  lastWriteWasCommand: boolean;
  /** The controller (keyboard) command that waits for its data byte; 0 for none. */
  command: number;
  keyboardCommand: number;
  lastKeyboardByte: number;
  scanCodeSet: number;
  keyboardLine: boolean;
  auxLine: boolean;
};

const powerOn = (): I8042State => ({
  ram: [CONFIG_KBD_INT | CONFIG_SYS | CONFIG_XLATE, ...zeros(31)],
  outputPort: OUTPUT_POWER_ON,
  buffer: EMPTY,
  replies: [],
  keyboard: [],
  lastWriteWasCommand: false,
  command: 0,
  keyboardCommand: 0,
  lastKeyboardByte: 0,
  scanCodeSet: 2,
  keyboardLine: false,
  auxLine: false,
});

/** The controller: data register at offset 0, status and command register at offset 4. */
export const createI8042 = (options: I8042Options): Device => {
  const name = 'i8042';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  let s = powerOn();

  const config = (): number => s.ram[0] ?? 0;
  const configure = (clear: number, set: number): void => void (s.ram[0] = (config() & ~clear) | set);
  const driveA20 = (): void => options.a20.set('8042', (s.outputPort & OUTPUT_A20) !== 0);
  driveA20();

  const driveInterrupts = (): void => {
    const aux = s.buffer !== EMPTY && (s.buffer & FROM_AUX) !== 0;
    const keyboardLevel = s.buffer !== EMPTY && !aux && (config() & CONFIG_KBD_INT) !== 0;
    const auxLevel = aux && (config() & CONFIG_AUX_INT) !== 0;
    if (keyboardLevel !== s.keyboardLine) options.keyboardInterrupt((s.keyboardLine = keyboardLevel));
    if (auxLevel !== s.auxLine) options.auxInterrupt((s.auxLine = auxLevel));
  };

  const translated = (byte: number): number =>
    byte === KBD_ID[1] && (config() & CONFIG_XLATE) !== 0 ? KBD_ID_TRANSLATED : byte;

  const nextKeyboardByte = (): number => {
    if ((config() & CONFIG_KBD_DISABLE) !== 0) return EMPTY;
    const byte = s.keyboard.shift();
    if (byte === undefined) return EMPTY;
    s.lastKeyboardByte = byte;
    return translated(byte);
  };

  const refill = (): void => {
    if (s.buffer === EMPTY) s.buffer = s.replies.shift() ?? nextKeyboardByte();
    driveInterrupts();
  };

  const reply = (byte: number): void => void s.replies.push(byte);

  const writeOutputPort = (value: number): void => {
    s.outputPort = value & ~(OUTPUT_KBD_OBF | OUTPUT_AUX_OBF);
    driveA20();
    if ((value & OUTPUT_RESET_N) === 0) options.reset('8042');
  };

  const readOutputPort = (): number => {
    if (s.buffer === EMPTY) return s.outputPort;
    return s.outputPort | ((s.buffer & FROM_AUX) !== 0 ? OUTPUT_AUX_OBF : OUTPUT_KBD_OBF);
  };

  const setA20 = (level: boolean): void => {
    s.outputPort = level ? s.outputPort | OUTPUT_A20 : s.outputPort & ~OUTPUT_A20;
    driveA20();
  };

  const selfTest = (): void => {
    configure(0, CONFIG_SYS);
    reply(SELF_TEST_PASSED);
  };

  const commands: Readonly<Record<number, () => void>> = {
    [CMD_TEST_PASSWORD]: () => reply(NO_PASSWORD),
    [CMD_AUX_DISABLE]: () => configure(0, CONFIG_AUX_DISABLE),
    [CMD_AUX_ENABLE]: () => configure(CONFIG_AUX_DISABLE, 0),
    [CMD_AUX_TEST]: () => reply(0),
    [CMD_SELF_TEST]: selfTest,
    [CMD_KBD_TEST]: () => reply(0),
    [CMD_KBD_DISABLE]: () => configure(0, CONFIG_KBD_DISABLE),
    [CMD_KBD_ENABLE]: () => configure(CONFIG_KBD_DISABLE, 0),
    [CMD_READ_INPUT_PORT]: () => reply(INPUT_UNLOCKED),
    [CMD_READ_OUTPUT_PORT]: () => reply(readOutputPort()),
    [CMD_WRITE_OUTPUT_PORT]: () => void (s.command = CMD_WRITE_OUTPUT_PORT),
    [CMD_WRITE_KBD_BUFFER]: () => void (s.command = CMD_WRITE_KBD_BUFFER),
    [CMD_WRITE_AUX_BUFFER]: () => void (s.command = CMD_WRITE_AUX_BUFFER),
    [CMD_WRITE_AUX]: () => void (s.command = CMD_WRITE_AUX),
    [CMD_A20_DISABLE]: () => setA20(false),
    [CMD_A20_ENABLE]: () => setA20(true),
    [CMD_READ_TEST_INPUTS]: () => reply(0),
  };

  const writeCommand = (command: number): void => {
    s.lastWriteWasCommand = true;
    s.command = 0;
    const known = commands[command];
    if (known !== undefined) known();
    else if ((command & 0xe0) === CMD_READ_RAM) reply(s.ram[command & 0x1f] ?? 0);
    else if ((command & 0xe0) === CMD_WRITE_RAM) s.command = command;
    else if (command < CMD_PULSE) loud.say(`controller command ${hexByte(command)}`);
    // The low four bits name output port pins to pulse low; 0xfe pulses reset, 0xff nothing.
    else if ((command & OUTPUT_RESET_N) === 0) options.reset('8042');
  };

  const writeArgument = (command: number, value: number): void => {
    if (command === CMD_WRITE_OUTPUT_PORT) writeOutputPort(value);
    else if (command === CMD_WRITE_KBD_BUFFER) reply(value);
    else if (command === CMD_WRITE_AUX_BUFFER) reply(value | FROM_AUX);
    // Nobody answers on the auxiliary port: the controller says "resend" with the time-out bit.
    else if (command === CMD_WRITE_AUX) reply(KBD_RESEND | FROM_AUX | TIMED_OUT);
    else s.ram[command & 0x1f] = value;
  };

  const send = (...bytes: readonly number[]): void => void s.keyboard.push(...bytes);

  const keyboardArgument = (command: number, value: number): void => {
    send(KBD_ACK);
    if (command !== KBD_SCAN_CODE_SET) return;
    if (value === 0) send(s.scanCodeSet);
    else s.scanCodeSet = value;
  };

  const keyboardCommand = (value: number): void => {
    if (value === KBD_RESET) {
      s.keyboard = [];
      s.scanCodeSet = 2;
      send(KBD_ACK, KBD_SELF_TEST_PASSED);
    } else if (value === KBD_RESEND) send(s.lastKeyboardByte);
    else if (value === KBD_IDENTIFY) send(KBD_ACK, ...KBD_ID);
    else if (value === KBD_ECHO) send(KBD_ECHO);
    else if (value === KBD_SET_LEDS || value === KBD_SCAN_CODE_SET || value === KBD_SET_RATE) {
      s.keyboardCommand = value;
      send(KBD_ACK);
    } else if (value >= KBD_ENABLE && value <= KBD_SET_ALL_MAKE_BREAK) send(KBD_ACK);
    else {
      loud.say(`keyboard command ${hexByte(value)}`);
      send(KBD_RESEND);
    }
  };

  const writeKeyboard = (value: number): void => {
    // A byte for the keyboard turns its interface on (CONFIG_KBD_DISABLE off).
    configure(CONFIG_KBD_DISABLE, 0);
    const command = s.keyboardCommand;
    s.keyboardCommand = 0;
    if (command !== 0 && value < KBD_SET_LEDS) keyboardArgument(command, value);
    else keyboardCommand(value);
  };

  const writeData = (value: number): void => {
    s.lastWriteWasCommand = false;
    const command = s.command;
    s.command = 0;
    if (command !== 0) writeArgument(command, value);
    else writeKeyboard(value);
  };

  const readStatus = (): number => {
    const full = s.buffer !== EMPTY;
    return (
      STATUS_UNLOCKED |
      (full ? STATUS_OBF : 0) |
      (full && (s.buffer & FROM_AUX) !== 0 ? STATUS_AUX_OBF : 0) |
      (full && (s.buffer & TIMED_OUT) !== 0 ? STATUS_TIMEOUT : 0) |
      ((config() & CONFIG_SYS) !== 0 ? STATUS_SYS : 0) |
      (s.lastWriteWasCommand ? STATUS_CMD : 0)
    );
  };

  const readData = (): number => {
    const value = s.buffer === EMPTY ? 0 : s.buffer & 0xff;
    s.buffer = EMPTY;
    // The lines fall before the next byte comes, so that it makes an edge.
    driveInterrupts();
    refill();
    return value;
  };

  return {
    name,
    ...byteWide(
      (offset) => {
        if (offset === DATA) return readData();
        if (offset === STATUS_COMMAND) return readStatus();
        loud.say(`read of offset ${hexByte(offset)}`);
        return 0xff;
      },
      (offset, value) => {
        if (offset === DATA) writeData(value);
        else if (offset === STATUS_COMMAND) writeCommand(value);
        else loud.say(`write to offset ${hexByte(offset)}`);
        refill();
      },
    ),
    steady: (offset) => offset === STATUS_COMMAND,
    state: () => copyState(s),
    restore: (state) => {
      s = adoptState(name, s, state);
      driveA20();
      loud.forget();
    },
    reset: () => {
      s = powerOn();
      driveA20();
      loud.forget();
    },
  };
};
