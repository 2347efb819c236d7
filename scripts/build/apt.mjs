// Debian's packages without root: apt with the system's lists or with lists of our own. Changes nothing in the system.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What was wanted cannot be had here, and why. */
export class Unavailable extends Error {}

/** Runs a program; throws Unavailable, with the last line it wrote about an error, when it is absent or fails. */
export function run(program, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    ...options,
  });
  if (error?.code === 'ENOENT') throw new Unavailable(`there is no ${program} on this machine`);
  if (error) throw new Unavailable(`${program}: ${error.message}`);
  if (status !== 0) {
    const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => /^[EW]: /.test(line));
    throw new Unavailable(`${program} ${args.at(0)} failed: ${lines.at(-1)?.slice(3) ?? `status ${status}`}`);
  }
  return stdout;
}

/**
 * Options for every call of apt. It never asks, and tries a transfer three times.
 * @param lists a folder for package lists of our own, which `update` fills; without it the system's are used
 * @param architecture whose packages; without it the system's. Needs lists of its own
 */
export function aptOptions({ lists, architecture } = {}) {
  const options = ['-o', 'Acquire::Retries=3', '-o', 'Acquire::http::Timeout=30', '-o', 'APT::Sandbox::User=root'];
  if (architecture) options.push('-o', `APT::Architecture=${architecture}`, '-o', `APT::Architectures=${architecture}`);
  if (!lists) return options;
  mkdirSync(join(lists, 'lists/partial'), { recursive: true });
  mkdirSync(join(lists, 'cache/archives/partial'), { recursive: true });
  return [...options, '-o', `Dir::State::Lists=${lists}/lists/`, '-o', `Dir::Cache=${lists}/cache/`];
}

/** Downloads a package into `folder` and unpacks what fits one of the shell patterns; @returns the .deb's name */
export function unpackPackage(name, patterns, folder, options) {
  run('apt-get', [...options, '-q', 'download', name], { cwd: folder });
  const deb = readdirSync(folder).find((file) => file.endsWith('.deb'));
  if (!deb) throw new Unavailable(`apt-get download ${name} left no package`);
  // Through a pipe: a generic kernel's modules are some hundred megabytes that nobody wants.
  const unpack = 'deb=$1; shift; dpkg-deb --fsys-tarfile "$deb" | tar -x --wildcards "$@"';
  run('sh', ['-c', unpack, 'sh', deb, ...patterns], { cwd: folder });
  return deb;
}
