// Real kernels for tests: Debian's, fetched by scripts/build/fetch-kernels.mjs on first use. Where they cannot be had, tests
// that need them skip, which the test run counts and shows.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface KernelFile {
  /** debian-6.1, debian-6.12, debian-6.12-cloud; where apt has none of these series, another debian-6.N. */
  readonly name: string;
  /** The kernel's own name, as in `vmlinuz-6.1.0-56-amd64`. */
  readonly version: string;
  /** Absolute path of the bzImage. */
  readonly path: string;
  /** SHA-256 of the bzImage, hexadecimal. */
  readonly sha256: string;
  /** Absolute path of its build configuration. */
  readonly config: string;
}

export interface Kernels {
  readonly files: readonly KernelFile[];
  /** Why there is none; '' when there is one. */
  readonly reason: string;
}

const root = resolve(fileURLToPath(import.meta.url), '../../..');
const cache = resolve(process.env.FIRSTLIGHT_CACHE || join(root, '.cache/kernels'));
const manifest = join(cache, 'manifest.json');

let found: Kernels | undefined;

/** The kernels in the cache; fetches them when there is no manifest (in CI, up to three attempts). Asked once a process. */
export function kernels(): Kernels {
  found ??= existsSync(manifest) ? fromManifest() : fetched();
  return found;
}

/** The kernel called `name`, or undefined: `describe.skipIf(!kernel('debian-6.1'))`. */
export function kernel(name: string): KernelFile | undefined {
  return kernels().files.find((file) => file.name === name);
}

function fetched(): Kernels {
  const attempts = process.env.CI ? '3' : '1';
  const script = join(root, 'scripts/build/fetch-kernels.mjs');
  const { status, stderr } = spawnSync(process.execPath, [script, '--attempts', attempts], { encoding: 'utf8' });
  if (status === 0) return fromManifest();
  return { files: [], reason: stderr.trimEnd().split('\n').at(-1) || 'fetch-kernels failed' };
}

function fromManifest(): Kernels {
  const entries = JSON.parse(readFileSync(manifest, 'utf8')) as KernelFile[];
  const absolute = (path: string) => join(dirname(manifest), path);
  const files = entries.map((entry) => ({ ...entry, path: absolute(entry.path), config: absolute(entry.config) }));
  return { files: files.filter((file) => existsSync(file.path)), reason: '' };
}
