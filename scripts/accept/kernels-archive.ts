// The kernels of Debian's archive, for amd64 and i386, as far as this machine's apt can name them: with package lists of
// our own, so that nothing in the system changes. One is here at a time.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { aptOptions, run, Unavailable, unpackPackage } from '../build/apt.mjs';

export const ARCHITECTURES = ['amd64', 'i386'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

export interface ArchiveKernel {
  readonly package: string;
  readonly architecture: Architecture;
}

export interface Archive {
  readonly kernels: readonly ArchiveKernel[];
  /** Packages that hold a kernel which another one holds too (unsigned), or its debugging information. */
  readonly leftOut: number;
  /** Of each architecture, for the calls of apt. */
  readonly options: ReadonlyMap<Architecture, string[]>;
}

export interface FetchedKernel {
  readonly image: string;
  readonly config: string | undefined;
}

/** linux-image-6.1.0-57-rt-amd64, linux-image-6.12.117+deb12-cloud-amd64; metapackages name no full version. */
const IMAGE = /^linux-image-\d+\.\d+\.\d+\S*$/;
const UNSIGNED = '-unsigned';

/** Asks apt. Throws Unavailable where there is none. @param cache where package lists of ours are kept */
export function listArchive(cache: string, architectures: readonly Architecture[]): Archive {
  const options = new Map(architectures.map((one) => [one, listsOf(cache, one)]));
  const kernels: ArchiveKernel[] = [];
  let leftOut = 0;
  for (const [architecture, apt] of options) {
    const names = run('apt-cache', [...apt, 'pkgnames', 'linux-image-'])
      .split('\n')
      .filter((name) => IMAGE.test(name));
    const all = new Set(names);
    const kept = names.filter((name) => !name.endsWith('-dbg') && !isTwin(name, all) && !name.includes('-template'));
    leftOut += names.length - kept.length;
    kept.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    kernels.push(...kept.map((name) => ({ package: name, architecture })));
  }
  return { kernels, leftOut, options };
}

const isTwin = (name: string, all: ReadonlySet<string>): boolean =>
  name.endsWith(UNSIGNED) && all.has(name.slice(0, -UNSIGNED.length));

function listsOf(cache: string, architecture: Architecture): string[] {
  const options = aptOptions({ lists: join(cache, `apt-${architecture}`), architecture });
  try {
    run('apt-get', [...options, '-q', 'update']);
  } catch (error) {
    // One list of several may be missing; the others' names are enough, or there are none.
    if (!(error instanceof Unavailable)) throw error;
    console.error(`kernels: ${error.message}`);
  }
  return options;
}

/**
 * Downloads a kernel, hands it over, and deletes it. Throws Unavailable where the archive has it no more, or the package
 * holds none.
 */
export function withKernel<T>(
  { options }: Archive,
  { package: name, architecture }: ArchiveKernel,
  cache: string,
  use: (fetched: FetchedKernel) => T,
): T {
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'fetching-'));
  try {
    unpackPackage(name, ['./boot/vmlinuz-*', './boot/config-*'], work, options.get(architecture) ?? []);
    const boot = join(work, 'boot');
    const find = (start: string) => readdirSync(boot).find((file) => file.startsWith(start));
    const [image, config] = [find('vmlinuz-'), find('config-')];
    if (image === undefined) throw new Unavailable(`${name} holds no kernel`);
    return use({ image: join(boot, image), config: config === undefined ? undefined : join(boot, config) });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
