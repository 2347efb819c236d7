// One process at a time for installing and building: a lock file holding the owner's process id.
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const POLL_MS = 100;
/** A lock file without a process id in it is one being written, or one left by a crash at that very moment. */
const UNSIGNED_LOCK_MS = 5000;

/** Runs `work` while holding the lock file at `path`; waits, after one `onWait`, while another live process holds it. */
export function underLock(path, work, onWait = () => {}) {
  mkdirSync(dirname(path), { recursive: true });
  for (let waits = 0; !take(path); waits++) {
    if (waits === 1) onWait();
    if (isAbandoned(path)) discard(path);
    else sleep(POLL_MS);
  }
  try {
    return work();
  } finally {
    rmSync(path, { force: true });
  }
}

function take(path) {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function isAbandoned(path) {
  try {
    const owner = Number(readFileSync(path, 'utf8'));
    if (owner > 0) return !isAlive(owner);
    return Date.now() - statSync(path).mtimeMs > UNSIGNED_LOCK_MS;
  } catch {
    return false; // released meanwhile
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

// Renaming first: of two processes that find the same abandoned lock, one gets it and the other finds nothing.
function discard(path) {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
    rmSync(aside);
  } catch {
    // somebody else was quicker
  }
}

function sleep(milliseconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
