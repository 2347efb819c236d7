// The judge for the 64-bit entry: boots a bzImage under QEMU by way of judge-entry64.S, a boot loader of ours, so that
// load address and number of paging levels are free. Needs gcc and binutils.
//
//   npx tsx scripts/oracles/judge-entry64.ts IMAGE [--load-at 0x1000000] [--paging 4|5] [--cpu max] [--memory 512M|6G] [--append TEXT]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Judgement, judge, type Options } from './judge.ts';

const root = resolve(fileURLToPath(import.meta.url), '../../..');

/** Where the loader runs and where QEMU puts the file: below 512 MiB, above what a decompressing kernel writes. */
const CHAIN_AT = 0x1c000000;
const STAGED = 0x14000000;

/** Where and how to enter; the rest as for `judge`. */
export interface Entry64Options extends Options {
  /** Guest-physical address below 8 GiB, with RAM there. */
  readonly loadAt: number;
  readonly paging: 4 | 5;
}

/** Boots `image` by its 64-bit entry and waits for its end. */
export async function judgeEntry64(image: string, options: Entry64Options): Promise<Judgement> {
  const folder = mkdtempSync(join(tmpdir(), 'firstlight-entry64-'));
  try {
    const chain = buildChain(image, options, folder);
    const more = ['-device', `loader,file=${image},addr=${STAGED},force-raw=on`, ...(options.more ?? [])];
    return await judge(chain, { ...options, more });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function buildChain(image: string, { loadAt, paging }: Entry64Options, folder: string): string {
  const file = readFileSync(image);
  const partSize = file.length - ((file[0x1f1] ?? 0) + 1) * 512;
  const numbers = { CHAIN_AT, STAGED, LOAD_AT: loadAt, PART_SIZE: partSize, LEVELS: paging };
  const defines = Object.entries(numbers).map(([name, value]) => `-D${name}=${value}`);
  const at = (name: string): string => join(folder, name);
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });

  run('gcc', '-c', ...defines, '-o', at('part.o'), join(root, 'scripts/oracles/judge-entry64.S'));
  const link = ['-Ttext', `0x${CHAIN_AT.toString(16)}`, '-e', '_start', '--oformat', 'binary'];
  run('ld', ...link, '-o', at('part'), at('part.o'));
  const part = readFileSync(at('part'));
  // The sample's setup part will do for any 32-bit entry.
  const header = [`SYSSIZE=${part.length / 16}`, 'PAYLOAD_OFFSET=0', 'PAYLOAD_LENGTH=0', 'KERNEL_INFO_OFFSET=0'];
  const symbols = header.flatMap((symbol) => ['-Wa,--defsym', `-Wa,${symbol}`]);
  run('gcc', '-m32', '-c', ...symbols, '-o', at('setup.o'), join(root, 'samples/trampoline/setup.S'));
  run('ld', '-m', 'elf_i386', '-Ttext', '0', '-e', '_start', '--oformat', 'binary', '-o', at('setup'), at('setup.o'));
  writeFileSync(at('chain.bzImage'), Buffer.concat([readFileSync(at('setup')), part]));
  return at('chain.bzImage');
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const options = { 'load-at': text, paging: text, cpu: text, memory: text, append: text, initrd: text, seconds: text };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const { 'load-at': loadAt, paging, seconds, ...rest } = values;
  const [image] = positionals;
  if (image === undefined || positionals.length > 1) throw new Error('one image is wanted');
  const result = await judgeEntry64(image, {
    ...rest,
    loadAt: Number(loadAt ?? 0x1000000),
    paging: paging === '5' ? 5 : 4,
    ...(seconds !== undefined && { seconds: Number(seconds) }),
  });
  console.log(JSON.stringify(result, null, 2));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error: Error) => {
    process.stderr.write(`judge-entry64: ${error.message}\n`);
    process.exitCode = 2;
  });
}
