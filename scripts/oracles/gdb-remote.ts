// A client of the gdb remote protocol, as much of it as stepping through a guest of QEMU needs.
import { createConnection, type Socket } from 'node:net';

const REPLY_LIMIT_MS = 60_000;

/** What `g` of an x86-64 guest holds, in its order: name and bytes. What comes behind these is not read. */
const LAYOUT: readonly (readonly [string, number])[] = [
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'].map((name) => [name, 8] as const),
  ...Array.from({ length: 8 }, (_, i) => [`r${i + 8}`, 8] as const),
  ['rip', 8],
  ['rflags', 4],
  ...['cs', 'ss', 'ds', 'es', 'fs', 'gs'].map((name) => [name, 4] as const),
  ...['fs_base', 'gs_base', 'kernel_gs_base', 'cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer'].map(
    (name) => [name, 8] as const,
  ),
];

export type Registers = ReadonlyMap<string, bigint>;

const checksum = (text: string): string =>
  (Buffer.from(text, 'latin1').reduce((sum, byte) => sum + byte, 0) & 0xff).toString(16).padStart(2, '0');

export class GdbRemote {
  readonly #socket: Socket;
  #received = '';
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.#received += text;
      this.#wake?.();
    });
    socket.on('close', () => this.#wake?.());
  }

  /** Connects to a stub that listens on a Unix socket. */
  static connect(path: string): Promise<GdbRemote> {
    return new Promise((done, failed) => {
      const socket = createConnection(path, () => done(new GdbRemote(socket)));
      socket.on('error', failed);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  /** The next packet's text. Rejects after REPLY_LIMIT_MS, or where the other side has gone. */
  async #packet(limit = REPLY_LIMIT_MS): Promise<string> {
    const deadline = Date.now() + limit;
    for (;;) {
      const found = /^[+-]*\$([^#]*)#[0-9a-f]{2}/.exec(this.#received);
      if (found) {
        this.#received = this.#received.slice(found[0].length);
        this.#socket.write('+');
        return found[1] ?? '';
      }
      const left = deadline - Date.now();
      if (left <= 0 || this.#socket.destroyed)
        throw new Error(this.#socket.destroyed ? 'QEMU has gone' : 'the debugger stub does not answer');
      await new Promise<void>((done) => {
        const timer = setTimeout(done, left);
        this.#wake = () => {
          clearTimeout(timer);
          done();
        };
      });
    }
  }

  async ask(text: string): Promise<string> {
    this.#socket.write(`$${text}#${checksum(text)}`);
    return this.#packet();
  }

  async setBreakpoint(address: bigint): Promise<void> {
    await this.#expectOk(`Z1,${address.toString(16)},1`);
  }

  async removeBreakpoint(address: bigint): Promise<void> {
    await this.#expectOk(`z1,${address.toString(16)},1`);
  }

  async #expectOk(text: string): Promise<void> {
    const reply = await this.ask(text);
    if (reply !== 'OK') throw new Error(`the debugger stub says '${reply}' to ${text}`);
  }

  /** Runs until a breakpoint. @param limit ms after which it is stopped; @returns false where that happened */
  async proceed(limit: number): Promise<boolean> {
    this.#socket.write(`$c#${checksum('c')}`);
    try {
      await this.#packet(limit);
      return true;
    } catch (error) {
      if (this.#socket.destroyed) throw error;
      this.#socket.write('\x03');
      await this.#packet();
      return false;
    }
  }

  async registers(): Promise<Registers> {
    const bytes = Buffer.from(await this.ask('g'), 'hex');
    const values = new Map<string, bigint>();
    let at = 0;
    for (const [name, size] of LAYOUT) {
      values.set(name, size === 8 ? bytes.readBigUInt64LE(at) : BigInt(bytes.readUInt32LE(at)));
      at += size;
    }
    return values;
  }
}
