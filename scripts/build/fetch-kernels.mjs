// Fetches real kernels for tests and benchmarks: Debian's newest amd64 kernels of the series 6.1 and 6.12 (generic and
// cloud), as many as this machine's apt knows, or else the newest others of major version 6. Only vmlinuz and config are
// kept, in FIRSTLIGHT_CACHE or .cache/kernels, with a manifest.json: [{name, version, path, sha256, config, package,
// packageVersion}], paths relative to it. Works without root and changes nothing in the system: package lists, where the
// system's know no kernel, go to the cache too (not with FIRSTLIGHT_APT_UPDATE=0).
//
//   node scripts/build/fetch-kernels.mjs [--refresh] [--attempts N]
//
// Exit status: 0 the manifest names at least one kernel, 3 none can be had (the reason on stderr), 2 usage.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { aptOptions, run, Unavailable, unpackPackage } from './apt.mjs';
import { underLock } from './lock.mjs';

const root = resolve(fileURLToPath(import.meta.url), '../../..');
const cache = resolve(process.env.FIRSTLIGHT_CACHE || join(root, '.cache/kernels'));
const manifestPath = join(cache, 'manifest.json');

const WANTED = [
  { series: '6.1', cloud: false },
  { series: '6.12', cloud: false },
  { series: '6.12', cloud: true },
];
/** linux-image-6.12.117+deb12-cloud-amd64 and the like: signed, neither rt nor dbg nor unsigned, no metapackage. */
const IMAGE_PACKAGE = /^linux-image-((6\.\d+)[.\d]*(?:-\d+|\+[a-z0-9.]+)?)(-cloud)?-amd64$/;
const METAPACKAGE = /^6\.\d+$/;
/** A package list can be ahead of its mirror: an older version may still be there. */
const VERSIONS_TRIED = 3;
const PAUSE_MS = 10_000;

function say(text) {
  process.stderr.write(`fetch-kernels: ${text}\n`);
}

const byVersion = (a, b) => a.version.localeCompare(b.version, 'en', { numeric: true });

/** Every fitting package apt can name, newest first. */
function candidates(options) {
  return run('apt-cache', [...options, 'pkgnames', 'linux-image-6'])
    .split('\n')
    .flatMap((line) => {
      const [name, version, series, cloud] = IMAGE_PACKAGE.exec(line) ?? [];
      return name && !METAPACKAGE.test(version) ? [{ package: name, version, series, cloud: cloud !== undefined }] : [];
    })
    .sort(byVersion)
    .reverse();
}

/** What to download: for each wanted kernel its versions, newest first; series apt lacks give way to others of 6.x. */
function choose(found) {
  const fitting = WANTED.map(({ series, cloud }) =>
    found.filter((one) => one.series === series && one.cloud === cloud),
  );
  if (fitting.every((versions) => versions.length > 0)) return fitting;
  const others = [false, true].map((cloud) => {
    const newest = found.find((one) => one.cloud === cloud && !fitting.some((versions) => versions.includes(one)));
    return found.filter((one) => one.cloud === cloud && one.series === newest?.series);
  });
  return [...fitting, ...others].filter((versions) => versions.length > 0);
}

/** The candidates, from the system's lists or, where those know no kernel or are `stale`, from fresh ones of our own. */
function askApt({ stale }) {
  const system = aptOptions();
  const known = choose(candidates(system));
  const mayUpdate = process.env.FIRSTLIGHT_APT_UPDATE !== '0';
  if (!mayUpdate || (known.length > 0 && !stale)) return { options: system, chosen: known };
  const options = aptOptions({ lists: join(cache, 'apt') });
  say('updating package lists');
  run('apt-get', [...options, '-q', 'update']);
  return { options, chosen: choose(candidates(options)) };
}

const sha256 = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');
const nameOf = ({ series, cloud }) => `debian-${series}${cloud ? '-cloud' : ''}`;

/** Downloads and unpacks one package beside its place in the cache, and moves it there when complete. */
function fetchOne(one, options) {
  const name = nameOf(one);
  const work = mkdtempSync(join(cache, 'fetching-'));
  try {
    say(`fetching ${one.package}`);
    const deb = unpackPackage(one.package, ['./boot/vmlinuz-*', './boot/config-*'], work, options);
    const files = readdirSync(join(work, 'boot'));
    const [kernel, config] = ['vmlinuz-', 'config-'].map((start) => files.find((file) => file.startsWith(start)));
    if (!kernel || !config) throw new Unavailable(`${one.package} holds no kernel`);
    rmSync(join(cache, name), { recursive: true, force: true });
    renameSync(join(work, 'boot'), join(cache, name));
    return {
      name,
      version: kernel.slice('vmlinuz-'.length),
      path: `${name}/${kernel}`,
      sha256: sha256(join(cache, name, kernel)),
      config: `${name}/${config}`,
      package: one.package,
      packageVersion: decodeURIComponent(deb.split('_')[1] ?? ''),
    };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The newest of `versions` that can be had. */
function fetchNewest(versions, options) {
  let reason;
  for (const one of versions.slice(0, VERSIONS_TRIED)) {
    try {
      return fetchOne(one, options);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      reason = error;
      say(error.message);
    }
  }
  throw reason;
}

/** The manifest's entries whose files are there and unchanged. */
function cached() {
  try {
    return JSON.parse(readFileSync(manifestPath, 'utf8')).filter((entry) => {
      try {
        return sha256(join(cache, entry.path)) === entry.sha256;
      } catch {
        return false;
      }
    });
  } catch {
    return [];
  }
}

function record(entries) {
  const fresh = `${manifestPath}.${process.pid}`;
  writeFileSync(fresh, `${JSON.stringify(entries, null, 2)}\n`);
  renameSync(fresh, manifestPath);
}

/** One attempt at everything that is not in the cache yet; returns the manifest's entries. */
function fetchMissing({ refresh, stale }) {
  let entries = refresh ? [] : cached();
  const has = (wanted) => entries.some((entry) => entry.name === nameOf(wanted));
  if (WANTED.every(has)) return entries;
  const { options, chosen } = askApt({ stale });
  if (chosen.length === 0) throw new Unavailable('apt knows no linux-image-6.*-amd64 package');
  let failure;
  for (const versions of chosen) {
    if (has(versions[0])) continue;
    try {
      entries = [...entries, fetchNewest(versions, options)];
      record(entries);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      failure = error;
    }
  }
  if (failure) throw failure;
  return entries;
}

function fetchWithAttempts({ refresh, attempts }) {
  for (let attempt = 1; ; attempt++) {
    try {
      // A second attempt doubts the package lists too.
      return fetchMissing({ refresh: refresh && attempt === 1, stale: attempt > 1 });
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      const hopeless = error.message.startsWith('there is no ');
      if (hopeless || attempt >= attempts) return giveUp(error);
      say(`${error.message}; attempt ${attempt + 1} of ${attempts} follows`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}

/** Some kernels are better than none. */
function giveUp(error) {
  const entries = cached();
  if (entries.length === 0) throw error;
  say(error.message);
  return entries;
}

function main() {
  const options = { refresh: { type: 'boolean', default: false }, attempts: { type: 'string', default: '1' } };
  let values;
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    say(error.message);
    return 2;
  }
  const attempts = Number(values.attempts);
  if (!Number.isInteger(attempts) || attempts < 1) {
    say('--attempts is a number from 1');
    return 2;
  }
  mkdirSync(cache, { recursive: true });
  try {
    const entries = underLock(join(cache, 'lock'), () => fetchWithAttempts({ refresh: values.refresh, attempts }));
    say(`${entries.map((entry) => `${entry.name} (${entry.version})`).join(', ')} in ${cache}`);
    return 0;
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    say(`no kernels: ${error.message}`);
    return 3;
  }
}

process.exitCode = main();
