// Fetches what acceptance runs take beside the kernels of fetch-kernels.mjs: Debian's PREEMPT_RT and i386 kernels,
// busybox-static for both architectures, and memtest86+. Into FIRSTLIGHT_CACHE or .cache/kernels, in folders of their own,
// with a more.json: [{name, path}], paths relative to it. What cannot be had is said and left out.
//
//   node scripts/build/fetch-more.mjs
//
// Exit status: 0 all is there, 3 something is not (the reason on stderr).
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { aptOptions, run, Unavailable, unpackPackage } from './apt.mjs';
import { underLock } from './lock.mjs';

const root = resolve(fileURLToPath(import.meta.url), '../../..');
const cache = resolve(process.env.FIRSTLIGHT_CACHE || join(root, '.cache/kernels'));

const KERNEL = { folder: 'boot', files: './boot/vmlinuz-*' };
const BUSYBOX = { folder: 'bin', files: './bin/busybox', package: /^busybox-static$/ };

const WANTED = [
  {
    name: 'debian-6.1-rt',
    architecture: 'amd64',
    package: /^linux-image-6\.1\.0-\d+-rt-amd64(-unsigned)?$/,
    ...KERNEL,
  },
  { name: 'debian-6.12-rt', architecture: 'amd64', package: /^linux-image-6\.12\..*-rt-amd64(-unsigned)?$/, ...KERNEL },
  {
    name: 'debian-6.1-686-pae',
    architecture: 'i386',
    package: /^linux-image-6\.1\.0-\d+-686-pae(-unsigned)?$/,
    ...KERNEL,
  },
  { name: 'busybox-amd64', architecture: 'amd64', ...BUSYBOX },
  { name: 'busybox-i386', architecture: 'i386', ...BUSYBOX },
  { name: 'memtest86+', architecture: 'amd64', package: /^memtest86\+$/, folder: 'boot', files: './boot/memtest86+*' },
];

const say = (text) => process.stderr.write(`fetch-more: ${text}\n`);
const filesOf = (name) => (existsSync(join(cache, name)) ? readdirSync(join(cache, name)) : []);

/** Options for an architecture's packages, whose lists are fetched on first use. */
const ready = new Map();
function optionsFor(architecture) {
  let options = ready.get(architecture);
  if (options === undefined) {
    options = aptOptions({ lists: join(cache, `apt-${architecture}`), architecture });
    say(`updating package lists of ${architecture}`);
    try {
      run('apt-get', [...options, '-q', 'update']);
    } catch (error) {
      // One list of several may be missing; what the others know is enough, or `candidates` finds nothing.
      if (!(error instanceof Unavailable)) throw error;
      say(error.message);
    }
    ready.set(architecture, options);
  }
  return options;
}

/** The fitting packages' names, newest first; signed before unsigned. */
function candidates(wanted, options) {
  const names = run('apt-cache', [...options, 'pkgnames']).split('\n');
  const found = names.filter((name) => wanted.package.test(name));
  return found.sort(
    (a, b) =>
      -a.replace('-unsigned', '').localeCompare(b.replace('-unsigned', ''), 'en', { numeric: true }) ||
      a.length - b.length,
  );
}

function fetchOne(wanted) {
  const options = optionsFor(wanted.architecture);
  const found = candidates(wanted, options);
  if (found.length === 0) throw new Unavailable(`apt knows no package for ${wanted.name}`);
  let reason;
  // A package list can be ahead of its mirror: the next may still be there.
  for (const name of found.slice(0, 4)) {
    const work = mkdtempSync(join(cache, 'fetching-'));
    try {
      say(`fetching ${name} (${wanted.architecture})`);
      unpackPackage(name, [wanted.files], work, options);
      rmSync(join(cache, wanted.name), { recursive: true, force: true });
      renameSync(join(work, wanted.folder), join(cache, wanted.name));
      return;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      reason = error;
      say(error.message);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  throw reason;
}

/** @returns whether it is there now */
function fetchMissing(wanted) {
  if (filesOf(wanted.name).length > 0) return true;
  try {
    fetchOne(wanted);
    return true;
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    say(`no ${wanted.name}: ${error.message}`);
    return false;
  }
}

function main() {
  mkdirSync(cache, { recursive: true });
  return underLock(join(cache, 'lock'), () => {
    const complete = WANTED.map(fetchMissing).every(Boolean);
    const entries = WANTED.flatMap(({ name }) => filesOf(name).map((file) => ({ name, path: `${name}/${file}` })));
    writeFileSync(join(cache, 'more.json'), `${JSON.stringify(entries, null, 2)}\n`);
    return complete ? 0 : 3;
  });
}

process.exitCode = main();
