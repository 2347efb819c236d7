// Takes real kernels to user space, where busybox does some work whose results are known, and to power-off: with 4- and
// 5-level paging, entered with either, KASLR on and off. Their logs are held against QEMU's. A row each; the last line is
// the sum. Kernels and busybox come from scripts/build/fetch-kernels.mjs and scripts/build/fetch-more.mjs.
//
//   npm run userland -- [--kernel NAME]... [--quick | --all] [--qemu] [--no-apic] [--jobs N] [--logs FOLDER]
//
// --kernel   as in .cache/kernels; default: all there are
// --quick    of each kernel 5-level paging with KASLR only
// --all      each number of levels entered with each, not with one KASLR setting only
// --qemu     boot each kernel once in qemu-system-x86_64 too, and tell complaints in our log that are not in that one's
// --no-apic  in a machine with the 8259A pair only
// --jobs     so many processes at once; default 1
// --logs     keeps each console there
//
// Exit status: 0 all did their work and powered off, 1 not all did, 2 usage, 3 there is no kernel.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { MIB } from '../../src/bits/sizes.ts';
import { commandInitramfs } from '../../src/boot/initramfs.ts';
import { DEFAULT_MEMORY } from '../../src/options/defaults.ts';
import { kernels } from '../../test/support/kernels.ts';
import { complaintsBeyond, graveLines, logLines } from './kernel-log.ts';
import { jobsOption, type Reply, shareOut } from './pool.ts';
import type { UserlandRow, UserlandTask } from './userland-worker.ts';

const LINES = 80_000;
const PRIME = 80_021;
const FACTOR = 7919;

/** What busybox is to do. Its shell is all that is needed: nothing is mounted but what --run mounts. */
const SCRIPT = [
  'cat /proc/cpuinfo | grep -m1 "model name"',
  `seq 1 ${LINES} | awk '{ printf "%06d the line of %d, %.3f weeks\\n", ($1 * ${FACTOR}) % ${PRIME}, $1, $1 / 7 }' > /tmp/lines`,
  'sha256sum < /tmp/lines',
  'sort < /tmp/lines | sha256sum',
  'gzip -c /tmp/lines > /tmp/lines.gz; gzip -dc /tmp/lines.gz | sha256sum',
  'for i in $(seq 20); do (head -n $((i * 100)) /tmp/lines | sha256sum > /tmp/part.$i) & done; wait',
  'cat /tmp/part.? /tmp/part.?? | sha256sum',
  'echo all is done',
].join('\n');

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** What the guest has to print, worked out here. */
function expectedLines(): string[] {
  const lines = Array.from({ length: LINES }, (_, i) => {
    const key = (((i + 1) * FACTOR) % PRIME).toString().padStart(6, '0');
    return `${key} the line of ${i + 1}, ${((i + 1) / 7).toFixed(3)} weeks\n`;
  });
  const parts = Array.from({ length: 20 }, (_, i) => `${sha256(lines.slice(0, (i + 1) * 100).join(''))}  -\n`);
  const whole = sha256(lines.join(''));
  // Each key is six digits and stands once, so the order of lines is that of their keys.
  return [whole, sha256([...lines].sort().join('')), whole, sha256(parts.join(''))].map((digest) => `${digest}  -`);
}

interface Kernel {
  readonly name: string;
  readonly path: string;
  readonly is32: boolean;
}

const cacheFolder = (): string => dirname(dirname(kernels().files[0]?.path ?? ''));
const only = (folder: string, start: string): string | undefined =>
  existsSync(folder) ? readdirSync(folder).find((file) => file.startsWith(start)) : undefined;

/** Every folder of the cache with a kernel in it. */
function allKernels(): Kernel[] {
  const cache = cacheFolder();
  return readdirSync(cache).flatMap((name) => {
    const file = name.startsWith('debian-') ? only(join(cache, name), 'vmlinuz-') : undefined;
    return file === undefined ? [] : [{ name, path: join(cache, name, file), is32: name.includes('686') }];
  });
}

interface Mode {
  readonly levels: 4 | 5 | undefined;
  readonly entryPaging: 4 | 5 | undefined;
  readonly kaslr: boolean;
}

type Extent = 'one' | 'four' | 'all';

/**
 * The kernel's own levels with KASLR on and off, entered with as many levels or the other number: the stub changes between
 * them in both directions. Four show each pair of own levels and KASLR.
 */
function modesOf(kernel: Kernel, extent: Extent): Mode[] {
  if (kernel.is32) return [true, false].map((kaslr) => ({ levels: undefined, entryPaging: undefined, kaslr }));
  const levels = [5, 4] as const;
  const all = levels.flatMap((own) =>
    levels.flatMap((entryPaging) => [true, false].map((kaslr) => ({ levels: own, entryPaging, kaslr }))),
  );
  if (extent === 'all') return all;
  const four = all.filter(({ levels: own, entryPaging, kaslr }) => (own === entryPaging) !== kaslr);
  return extent === 'four' ? four : four.slice(0, 1);
}

const cmdlineOf = ({ levels, kaslr }: Mode): string =>
  ['console=ttyS0', ...(levels === 4 ? ['no5lvl'] : []), ...(kaslr ? [] : ['nokaslr'])].join(' ');

interface Planned {
  readonly kernel: Kernel;
  readonly mode: Mode;
  readonly task: UserlandTask;
}

function plan(kernel: Kernel, extent: Extent, apic: boolean): Planned[] {
  return modesOf(kernel, extent).map((mode) => ({
    kernel,
    mode,
    task: {
      kernel: kernel.name,
      image: kernel.path,
      busybox: busyboxFor(kernel),
      script: SCRIPT,
      cmdline: cmdlineOf(mode),
      entry: kernel.is32 ? 32 : 64,
      entryPaging: mode.entryPaging,
      memoryBytes: DEFAULT_MEMORY,
      loadAt: undefined,
      apic,
    },
  }));
}

const busyboxFor = ({ is32 }: Kernel): string =>
  join(cacheFolder(), is32 ? 'busybox-i386' : 'busybox-amd64', 'busybox');

/** What is missing from a console that ought to be there; '' for nothing. */
function missing(console: string, expected: readonly string[]): string {
  const printed = logLines(console);
  let at = 0;
  for (const line of [...expected, 'all is done']) {
    at = printed.indexOf(line, at) + 1;
    if (at === 0) return `the guest did not print "${line}"`;
  }
  return '';
}

/** The same boot in QEMU; its console. */
function qemuConsole({ task }: Planned): string {
  const work = mkdtempSync(join(tmpdir(), 'firstlight-'));
  try {
    const initrd = join(work, 'initrd');
    writeFileSync(initrd, commandInitramfs(task.script, new Uint8Array(readFileSync(task.busybox)), 'console'));
    const machine = ['-accel', 'tcg', '-cpu', 'max', '-m', `${DEFAULT_MEMORY / MIB}M`, '-net', 'none', '-no-reboot'];
    const terminal = ['-display', 'none', '-monitor', 'none', '-serial', 'stdio'];
    const files = ['-kernel', task.image, '-initrd', initrd, '-append', task.cmdline];
    const { stdout, error } = spawnSync('qemu-system-x86_64', [...machine, ...terminal, ...files], {
      encoding: 'latin1',
      timeout: 600_000,
      maxBuffer: 1 << 26,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (error) throw error;
    return stdout;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const modeText = ({ levels, entryPaging, kaslr }: Mode): string =>
  `${levels ?? '-'} levels, entered with ${entryPaging ?? '-'}, KASLR ${kaslr ? 'on ' : 'off'}`;

/** Prints a row; @returns whether it is what it ought to be */
function judge(
  { kernel, mode }: Planned,
  reply: Reply<UserlandRow>,
  expected: readonly string[],
  qemu?: string,
): boolean {
  const head = `${kernel.name.padEnd(18)} ${modeText(mode)}  `;
  if ('error' in reply) {
    console.log(`${head}${reply.error}`);
    return false;
  }
  const row = reply.result;
  const faults = [
    ...(row.outcome === 'powered-off' ? [] : [`ended otherwise: ${row.text}`]),
    ...[missing(row.console, expected)].filter((text) => text !== ''),
    ...graveLines(row.console),
  ];
  const figures = `${(row.instructions / 1e9).toFixed(2)} G  ${row.stateHash}  ${row.seconds.toFixed(1)} s  ${row.peakMiB.toFixed(0)} MiB`;
  console.log(`${head}${row.outcome}  ${figures}`);
  for (const fault of faults) console.log(`  FAULT ${fault}`);
  if (qemu !== undefined)
    for (const line of complaintsBeyond(row.console, qemu)) console.log(`  not in QEMU's log: ${line}`);
  return faults.length === 0;
}

function readOptions() {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const { values } = parseArgs({
    options: {
      kernel: { ...text, multiple: true },
      quick: flag,
      all: flag,
      qemu: flag,
      'no-apic': flag,
      jobs: text,
      logs: text,
    },
  });
  return { ...values, jobs: jobsOption(values.jobs) };
}

function chosen(names: readonly string[] | undefined): Kernel[] {
  const all = allKernels();
  const known = all.map((kernel) => kernel.name);
  const unknown = names?.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`there is no kernel '${unknown}'; there are ${known.join(', ')}`);
  return names ? all.filter((kernel) => names.includes(kernel.name)) : all;
}

async function main(): Promise<number> {
  const options = readOptions();
  if (kernels().files.length === 0) {
    console.error(`userland: there is no kernel to boot: ${kernels().reason}`);
    return 3;
  }
  const expected = expectedLines();
  const extent = options.quick ? 'one' : options.all ? 'all' : 'four';
  const planned = chosen(options.kernel).flatMap((one) => plan(one, extent, !options['no-apic']));
  const qemu = new Map<string, string>();
  const keep = (name: string, text: string): void => {
    if (options.logs === undefined) return;
    mkdirSync(options.logs, { recursive: true });
    writeFileSync(join(options.logs, `${name}.log`), text);
  };
  let good = 0;
  const rowOf = new Map(planned.map((one) => [one.task, one]));
  await shareOut<UserlandTask, UserlandRow>(
    new URL('userland-worker.ts', import.meta.url),
    planned.map(({ task }) => task),
    options.jobs,
    (task, reply) => {
      const one = rowOf.get(task);
      if (!one) return;
      const name = `${one.kernel.name}-${one.mode.levels ?? 32}`;
      if (options.qemu && !qemu.has(name)) {
        qemu.set(name, qemuConsole(one));
        keep(`${name}-qemu`, qemu.get(name) ?? '');
      }
      if ('result' in reply) {
        keep(`${name}-from${one.mode.entryPaging ?? ''}-${one.mode.kaslr ? 'kaslr' : 'nokaslr'}`, reply.result.console);
      }
      if (judge(one, reply, expected, qemu.get(name))) good++;
    },
  );
  console.log(`${good} of ${planned.length} did their work and powered off`);
  return good === planned.length ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`userland: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
