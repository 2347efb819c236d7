// Boots a kernel image under QEMU (TCG) and says how that ended; the judge of which images really die.
//
//   npx tsx scripts/oracles/judge.ts IMAGE [--cpu max] [--memory 512M] [--append TEXT] [--initrd FILE] [--seconds 20]
//
// Prints one JSON object: {verdict, seconds, console, exception?, registers?}. Verdicts: banner ("Linux version" on the
// serial console), triple-fault, reset (any other), halt (HLT with interrupts off), hang (neither within the time limit).
// `exception` is the one that began the triple fault, `registers` QEMU's at the halt or hang.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createReadStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const POLL_MS = 250;
/** A wild guest can raise exceptions without end. */
const LOG_LIMIT = 64 << 20;
const EFLAGS_IF = 0x200;

/** How to boot; `more` are further arguments for QEMU. */
export interface Options {
  readonly cpu?: string;
  readonly memory?: string;
  readonly append?: string;
  readonly initrd?: string;
  readonly seconds?: number;
  readonly more?: readonly string[];
}

export interface Fault {
  readonly vector: number;
  readonly errorCode: number;
  /** Linear address, hexadecimal; so is cr2. */
  readonly rip: string;
  readonly cr2: string;
}

export interface Registers {
  readonly rip: string;
  readonly eflags: string;
  readonly halted: boolean;
}

export interface Judgement {
  readonly verdict: 'banner' | 'triple-fault' | 'reset' | 'halt' | 'hang';
  readonly seconds: number;
  readonly console: string;
  readonly exception?: Fault;
  readonly registers?: Registers;
}

interface Guest {
  readonly child: ChildProcessWithoutNullStreams;
  readonly log: string;
  readonly monitor: string;
  console: string;
  errors: string;
  ended: boolean;
  failure: Error | undefined;
}

// So that no QEMU outlives a judge that is told to stop: 'exit' is not emitted for a signal nobody handles.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const DEFAULTS = { cpu: 'max', memory: '512M', append: '', seconds: 20 };

/** Boots `image` and waits for its end. Throws where QEMU does not run or refuses the image. */
export async function judge(image: string, options: Options = {}): Promise<Judgement> {
  const wanted = { ...DEFAULTS, ...options };
  const folder = mkdtempSync(join(tmpdir(), 'firstlight-judge-'));
  const started = Date.now();
  const guest = start(image, wanted, folder);
  const stop = (): boolean => guest.child.kill('SIGKILL');
  process.once('exit', stop);
  try {
    const ending = await watch(guest, wanted.seconds * 1000);
    const fault = ending.verdict === 'reset' ? await tripleFault(guest.log) : undefined;
    return {
      ...ending,
      ...(fault && { verdict: 'triple-fault', exception: fault }),
      seconds: Math.round((Date.now() - started) / 100) / 10,
      console: guest.console.replaceAll('\r', ''),
    };
  } finally {
    stop();
    process.off('exit', stop);
    if (!guest.ended) await new Promise((done) => guest.child.once('close', done));
    rmSync(folder, { recursive: true, force: true });
  }
}

function start(image: string, options: Options & typeof DEFAULTS, folder: string): Guest {
  const { cpu, memory, append, initrd, more = [] } = options;
  const [log, monitor] = [join(folder, 'log'), join(folder, 'monitor')];
  const child = spawn('qemu-system-x86_64', [
    ...['-accel', 'tcg', '-cpu', cpu, '-m', memory, '-display', 'none', '-net', 'none', '-no-reboot'],
    ...['-d', 'int,cpu_reset', '-D', log, '-serial', 'stdio', '-monitor', `unix:${monitor},server=on,wait=off`],
    ...['-kernel', image, '-append', append, ...(initrd ? ['-initrd', initrd] : []), ...more],
  ]);
  const guest: Guest = { child, log, monitor, console: '', errors: '', ended: false, failure: undefined };
  child.stdout.setEncoding('latin1').on('data', (text) => (guest.console += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (guest.errors += text));
  child.on('error', (error) => Object.assign(guest, { ended: true, failure: error }));
  child.on('close', (status) => {
    guest.ended = true;
    if (status !== 0 && status !== null)
      guest.failure = new Error(`qemu: ${guest.errors.trim() || `status ${status}`}`);
  });
  return guest;
}

async function watch(guest: Guest, limit: number): Promise<Pick<Judgement, 'verdict' | 'registers'>> {
  for (let waited = 0; ; waited += POLL_MS) {
    await sleep(POLL_MS);
    if (guest.failure) throw guest.failure;
    // The banner's whole line.
    if (/Linux version [^\n]*\n/.test(guest.console)) return { verdict: 'banner' };
    if (guest.ended) return { verdict: 'reset' };
    const overdue = waited >= limit || sizeOf(guest.log) > LOG_LIMIT;
    // Asking costs the guest little, but not nothing: once a second is enough.
    if (!overdue && waited % 1000 !== 750) continue;
    const registers = await readRegisters(guest.monitor);
    if (registers?.halted && !(Number.parseInt(registers.eflags, 16) & EFLAGS_IF))
      return { verdict: 'halt', registers };
    if (overdue) return { verdict: 'hang', ...(registers && { registers }) };
  }
}

/** What `info registers` says; undefined where QEMU is gone. */
async function readRegisters(monitor: string): Promise<Registers | undefined> {
  const text = await new Promise<string>((done) => {
    let answer = '';
    const socket = createConnection(monitor, () => socket.write('info registers\n'));
    socket.setEncoding('utf8').on('data', (chunk) => {
      answer += chunk;
      if (answer.includes('EFER=')) socket.destroy();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => done(answer));
    socket.setTimeout(5000, () => socket.destroy());
  });
  const [, rip, eflags, halted] = /[RE]IP=([0-9a-f]+) (?:RFL|EFL)=([0-9a-f]+).*HLT=(\d)/.exec(text) ?? [];
  return rip !== undefined && eflags !== undefined ? { rip, eflags, halted: halted === '1' } : undefined;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The exception that began the chain to the first triple fault in QEMU's log; undefined where there was none. */
async function tripleFault(log: string): Promise<Fault | undefined> {
  let first: Fault | undefined;
  let expected = false;
  for await (const line of createInterface({ input: createReadStream(log) })) {
    if (line.startsWith('Triple fault')) return first;
    const [, old] = /^check_exception old: 0x([0-9a-f]+)/.exec(line) ?? [];
    if (old !== undefined) expected = old === 'ffffffff';
    const entry = expected ? logEntry(line) : undefined;
    if (entry) {
      if (!isMissingGate(entry, first)) first = entry;
      expected = false;
    }
    const [, cr2] = / CR2=([0-9a-f]+)/.exec(line) ?? [];
    if (cr2 !== undefined && first?.cr2 === '') first = { ...first, cr2 };
  }
  return undefined;
}

function logEntry(line: string): Fault | undefined {
  const [, vector, errorCode, rip] = /^ *\d+: v=([0-9a-f]+) e=([0-9a-f]+) .* pc=([0-9a-f]+)/.exec(line) ?? [];
  if (vector === undefined || errorCode === undefined || rip === undefined) return undefined;
  return { vector: Number.parseInt(vector, 16), errorCode: Number.parseInt(errorCode, 16), rip, cr2: '' };
}

/** A #GP at the same place whose error code names an IDT entry: the way to `first`'s handler, not a new beginning. */
function isMissingGate(entry: Fault, first: Fault | undefined): boolean {
  return entry.vector === 13 && (entry.errorCode & 2) !== 0 && first?.rip === entry.rip;
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const options = { cpu: text, memory: text, append: text, initrd: text, seconds: text };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [image] = positionals;
  if (image === undefined || positionals.length > 1) throw new Error('one image is wanted');
  console.log(
    JSON.stringify(await judge(image, { ...values, seconds: Number(values.seconds ?? DEFAULTS.seconds) }), null, 2),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error: Error) => {
    process.stderr.write(`judge: ${error.message}\n`);
    process.exitCode = 2;
  });
}
