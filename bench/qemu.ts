// The same boot under qemu-system-x86_64 (TCG), timed by what it says on its serial port.
import { spawn, spawnSync } from 'node:child_process';
import { BANNER } from '../src/run/stages.ts';
import { CMDLINE, MEMORY_MIB, UNPACKING } from './kernels.ts';

/** Wall-clock seconds. */
export type QemuRun = {
  /** From the stub's last words before it unpacks the kernel to the banner. */
  readonly unpackToBannerSeconds: number;
  /** From the start of the process. */
  readonly bannerSeconds: number;
};

const QEMU = 'qemu-system-x86_64';
const LIMIT_MS = 120_000;

/** First line of `--version`; undefined where it is not installed. */
export function qemuVersion(): string | undefined {
  const { status, stdout } = spawnSync(QEMU, ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n')[0] : undefined;
}

/** Boots until the banner. Rejects where QEMU ends or takes too long before it. */
export function runQemu(image: string): Promise<QemuRun> {
  const machine = ['-accel', 'tcg', '-cpu', 'max', '-m', `${MEMORY_MIB}M`, '-net', 'none', '-no-reboot'];
  const terminal = ['-display', 'none', '-monitor', 'none', '-serial', 'stdio'];
  const start = performance.now();
  const child = spawn(QEMU, [...machine, ...terminal, '-kernel', image, '-append', CMDLINE]);
  return new Promise((resolve, reject) => {
    let said = '';
    let unpacking: number | undefined;
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      said += text;
      if (said.includes(UNPACKING)) unpacking ??= performance.now();
      if (!said.includes(BANNER)) return;
      const now = performance.now();
      child.kill('SIGKILL');
      resolve({ unpackToBannerSeconds: (now - (unpacking ?? now)) / 1000, bannerSeconds: (now - start) / 1000 });
    });
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(timer);
      // Without effect after `resolve`.
      reject(new Error(`${QEMU} never came to the banner; it said:\n${said.slice(-500)}`));
    });
  });
}
