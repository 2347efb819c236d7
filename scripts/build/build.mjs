// Translates src/ into dist/. The compiler writes to a folder beside it, and its files are moved into place one by one
// at the end: a failed build leaves the old dist/ as it was, and a program running from dist/ never finds a file missing.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { underLock } from './lock.mjs';

const root = resolve(fileURLToPath(import.meta.url), '../../..');
const dist = join(root, 'dist');

export const SETUP_LOCK = join(root, '.cache/setup.lock');

/** Builds dist/; the caller holds SETUP_LOCK. Returns '' or, when it failed, what the compiler said. */
export function build() {
  const fresh = join(root, `dist.${process.pid}`);
  // A file saved while the compiler runs must count as newer than this build.
  const started = new Date();
  try {
    const complaint = translate(fresh);
    if (complaint) return complaint;
    moveIntoPlace(fresh, dist);
    stamp(started);
    return '';
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function translate(outDir) {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const args = [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', outDir];
  const { status, stdout, stderr, error } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (error) return `${error.message}\n`;
  return status === 0 ? '' : stdout + stderr || `the compiler ended with status ${status}\n`;
}

function moveIntoPlace(from, to) {
  mkdirSync(to, { recursive: true });
  const entries = readdirSync(from, { withFileTypes: true });
  for (const entry of entries) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) moveIntoPlace(source, target);
    else renameSync(source, target);
  }
  const kept = new Set(entries.map((entry) => entry.name));
  for (const name of readdirSync(to)) {
    if (!kept.has(name)) rmSync(join(to, name), { recursive: true });
  }
}

function stamp(time) {
  for (const name of ['main.js', 'qemuMain.js']) {
    const main = join(dist, 'cli', name);
    if (existsSync(main)) chmodSync(main, 0o755);
  }
  const path = join(dist, '.stamp');
  writeFileSync(path, '');
  utimesSync(path, time, time);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const complaint = underLock(SETUP_LOCK, build);
  process.stderr.write(complaint);
  process.exitCode = complaint ? 1 : 0;
}
