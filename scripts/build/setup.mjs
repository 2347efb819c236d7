// Makes a checkout runnable: installs the dependencies of package-lock.json and builds dist/, each only when needed.
// ./firstlight runs this when something looks out of date; what is really to be done is decided here, under the lock.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, SETUP_LOCK } from './build.mjs';
import { underLock } from './lock.mjs';

const root = resolve(fileURLToPath(import.meta.url), '../../..');
const installedLock = join(root, 'node_modules/.package-lock.json');

/** What a build depends on, relative to the root. The launcher looks at the same. */
const BUILD_INPUTS = ['src', 'package.json', 'tsconfig.base.json', 'tsconfig.build.json'];

function setUp() {
  if (!isInstalled()) install();
  if (!isBuilt()) rebuild();
}

// Times alone do not decide: git and npm touch the lock file without changing a version in it.
function isInstalled() {
  if (!existsSync(installedLock)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const present = JSON.parse(readFileSync(installedLock, 'utf8')).packages;
  const complete = Object.entries(wanted).every(
    ([path, { version, optional }]) =>
      path === '' || (optional && !present[path]) || present[path]?.version === version,
  );
  if (complete) utimesSync(installedLock, new Date(), new Date());
  return complete;
}

function install() {
  say('installing dependencies (npm ci)');
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund'];
  const { status, stdout, stderr, error } = spawnSync('npm', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' });
  if (error) throw new SetupError(`npm could not be started: ${error.message}`, '');
  if (status !== 0) throw new SetupError('npm ci failed', firstLines(stdout + stderr));
}

// npm repeats its whole usage after some errors; what went wrong stands before that.
function firstLines(text) {
  return `${text.trimEnd().split('\n').slice(0, 20).join('\n')}\n`;
}

function isBuilt() {
  const stamp = statSync(join(root, 'dist/.stamp'), { throwIfNoEntry: false });
  if (!stamp || !existsSync(join(root, 'dist/cli/main.js'))) return false;
  return BUILD_INPUTS.every((input) => newest(join(root, input)) <= stamp.mtimeMs);
}

function newest(path) {
  const info = statSync(path);
  if (!info.isDirectory()) return info.mtimeMs;
  return readdirSync(path).reduce((latest, name) => Math.max(latest, newest(join(path, name))), info.mtimeMs);
}

function rebuild() {
  say('building');
  const complaint = build();
  if (complaint) throw new SetupError('the build failed', complaint);
}

class SetupError extends Error {
  constructor(message, details) {
    super(message);
    this.details = details;
  }
}

function say(text) {
  process.stderr.write(`firstlight: ${text}\n`);
}

try {
  underLock(SETUP_LOCK, setUp, () => say('waiting for another firstlight that is setting up'));
} catch (error) {
  process.stderr.write(error.details ?? '');
  say(error.message);
  process.exitCode = 2;
}
