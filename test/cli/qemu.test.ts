// The front with QEMU's options as the runner of a suite of bare-metal tests uses it: as a child process of a shell script
// that probes for devices, runs a program, takes anything on stderr for a failure of QEMU, and makes a verdict of the code.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpuOf } from '../../src/cli/qemu/cpu.ts';
import { readQemuOptions } from '../../src/cli/qemu/options.ts';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { concat } from '../image/synthetic.ts';
import { makeElf32, multibootHeader } from '../boot/programs.ts';
import { firstlight, GOOD } from './fakeIo.ts';

const qemu = fileURLToPath(new URL('../../firstlight-qemu', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'firstlight-qemu-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A Multiboot program at 1 MiB. */
const program = (name: string, hex: string): string => {
  const path = join(folder, name);
  writeFileSync(path, makeElf32({ bytes: concat([multibootHeader(0), bytesOfHex(hex)]), entry: 0x10000c }));
  return path;
};
/** Prints the command line: mov 16(%ebx),%esi; mov $0x3f8,%dx; 1: lodsb; test %al,%al; jz 2f; out %al,(%dx); jmp 1b; 2: */
const ECHO = '8b 73 10 66 ba f8 03 ac 84 c0 74 03 ee eb f8';
/** mov $value,%al; out %al,$0xf4 */
const exits = (value: number): string => `${ECHO} b0 ${value.toString(16).padStart(2, '0')} e6 f4`;
const PASS = program('pass.flat', exits(0));
const FAIL = program('fail.flat', exits(1));
const SKIP = program('skip.flat', exits(38));
/** ud2, with no gate */
const TRIPLE = program('triple.flat', '0f 0b');
/** A letter, and then a reset by port 0xcf9: mov $'r',%al; mov $0x3f8,%dx; out; mov $0xcf9,%dx; mov $6,%al; out */
const RESET = program('reset.flat', 'b0 72 66 ba f8 03 ee 66 ba f9 0c b0 06 ee');
/** mov $'.',%al; mov $0x3f8,%dx; out %al,(%dx); 1: inc %eax; jmp 1b */
const ENDLESS = program('endless.flat', 'b0 2e 66 ba f8 03 ee 40 eb fd');
/** cli; hlt */
const HALTS = program('halts.flat', 'fa f4');

/** As their script does, in our words. Its last line is the verdict. */
const RUNNER = `
qemu=$1 kernel=$2; shift 2
$qemu --help 2>/dev/null | grep -q QEMU || { echo "no QEMU"; exit 2; }
devices=$($qemu -device '?' 2>&1)
case $devices in *'"pc-testdev"'*) ;; *) echo "no test device"; exit 2;; esac
case $devices in *pci-testdev*) pci="-device pci-testdev";; esac
$qemu --no-reboot -nodefaults -device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=0x4 -vnc none \\
  -serial stdio $pci -machine accel=tcg -kernel "$kernel" -smp 1 "$@" </dev/null 2>"$kernel.err"
code=$?
test -s "$kernel.err" && { cat "$kernel.err"; echo "QEMU failed ($code)"; exit; }
case $code in 1) echo PASS;; 77) echo SKIP;; 3) echo FAIL;; 127) echo ABORT;; *) echo "other $code";; esac
`;
const run = (kernel: string, ...args: string[]): string[] => {
  const { stdout } = spawnSync('sh', ['-c', RUNNER, 'sh', qemu, kernel, ...args], { encoding: 'latin1' });
  return stdout.trimEnd().split('\n');
};

describe('a suite of bare-metal tests with firstlight-qemu as its QEMU', () => {
  // Builds, and says so, where the sources are newer than the last build.
  beforeAll(() => void spawnSync(qemu, ['-version']));

  it.each([
    ['passes', PASS, [], ['kernelPASS']],
    ['is skipped', SKIP, [], ['kernelSKIP']],
    [
      'has all that may be asked for',
      PASS,
      ['-append', 'one "two"', '--cpu', 'qemu64,+x2apic,+tsc-deadline', '-m', '256', '-initrd', GOOD],
      ['kernel one "two"PASS'],
    ],
    ['resets itself', RESET, [], ['rother 0']],
    ['dies', TRIPLE, [], ['other 0']],
    [
      'asks for another processor',
      PASS,
      ['-smp', '2'],
      [expect.stringContaining('exceeds max CPUs'), 'QEMU failed (1)'],
    ],
    ['can never go on', HALTS, [], [expect.stringContaining('firstlight-qemu: halted for ever'), 'QEMU failed (1)']],
  ])('tells that one %s', (_name, kernel, args, lines) => {
    expect(run(kernel, ...args)).toEqual(lines);
  });

  it('tells a kernel that is not there from a QEMU that does not work', () => {
    const [line, verdict] = run(join(folder, '_NO_FILE_'), '-cpu', 'max');
    expect([line, verdict]).toEqual([
      `firstlight-qemu: could not load kernel '${join(folder, '_NO_FILE_')}': no such file`,
      'QEMU failed (1)',
    ]);
  });

  it('ends at SIGTERM as QEMU does, with what was printed until then', async () => {
    const child = spawn(qemu, ['-nographic', '-kernel', ENDLESS], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (data: Buffer) => {
      stdout += data.toString('latin1');
      child.kill('SIGTERM');
    });
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString('latin1')));
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: '.',
      stderr: 'firstlight-qemu: terminating on signal 15\n',
    });
  });
});

const front = (...args: string[]) => firstlight(['qemu', ...args]);

describe('firstlight qemu', () => {
  it.each([
    [['-version'], /^QEMU emulator version \d+\.\d+\.\d+ /],
    [['--help'], /^QEMU emulator version [^\n]*\n[^]*-no-reboot/],
    [['-h'], /^QEMU emulator version/],
    [['-machine', '?'], /^Supported machines are:\npc .*\(default\)\n/],
    [['-M', 'help'], /\nq35 /],
    [['-accel', 'help'], /\ntcg\n/],
    [['-cpu', '?'], /\nx86 qemu64\n/],
    [['-device', 'help'], /name "isa-debug-exit"/],
  ])('answers %j on stdout', async (args, answer) => {
    const { code, stdout, stderr } = await front(...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(answer);
  });

  it.each([
    [['-frob'], '-frob: invalid option'],
    [['-kernl', 'x'], '-kernl: invalid option; did you mean -kernel?'],
    [['-kernel'], '-kernel: requires an argument'],
    [['-cpu', 'Opteron_G1'], "unable to find CPU model 'Opteron_G1'"],
    [['-cpu', 'max,+frob'], "Property 'max-x86_64-cpu.frob' not found"],
    [['-cpu', 'max,vendor=AuthenticAMD'], 'vendor=AuthenticAMD is nothing'],
    [['-machine', 'virt'], 'unsupported machine type "virt"'],
    [['-machine', 'pc,accel=kvm'], 'invalid accelerator; there is tcg'],
    [['-enable-kvm'], 'invalid accelerator; there is tcg'],
    [['-device', 'e1000'], "'e1000' is not a valid device model name"],
    [['-device', 'isa-debug-exit,iobase=x'], 'iobase=x is no port'],
    [['-m', 'lots'], '-m lots: is no amount of memory'],
    [['-serial', 'pty'], '-serial pty: a serial port is'],
    [['disk.img'], 'there are no disk images'],
    [[], '-kernel FILE is needed'],
    [['-kernel', '\x1b[31m'], "could not load kernel '\\x1b[31m': no such file"],
  ])('refuses %j in one line, with 1', async (args, message) => {
    const { code, stdout, stderr } = await front(...args);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^firstlight-qemu: [\x20-\x7e]*\n$/);
    expect(stderr).toContain(message);
  });

  it('starts a guest anew that resets, and not for ever', async () => {
    const { code, stdout, stderr } = await front('-kernel', RESET, '-serial', 'stdio');
    expect([code, stdout]).toEqual([1, 'r'.repeat(101)]);
    expect(stderr).toBe('firstlight-qemu: the guest has reset the machine 100 times; -no-reboot ends at the first\n');
  });

  it('has a debug-exit port where one is asked for, and there only', async () => {
    const device = ['-device', 'isa-debug-exit'];
    expect((await front('-kernel', PASS, ...device, '-no-reboot')).code).not.toBe(3);
    // mov $0x501,%dx; mov $1,%al; out %al,(%dx)
    const other = program('other.flat', '66 ba 01 05 b0 01 ee fa f4');
    expect(await front('-kernel', other, ...device)).toMatchObject({ code: 3, stdout: '', stderr: '' });
    expect((await front('-kernel', other)).stderr).toContain('halted for ever');
  });

  it.each([
    [0, 1],
    [1, 3],
    [63, 127],
    [0xff, 0xff],
  ])('ends with (%d << 1) | 1 where the guest writes that', async (value, code) => {
    const kernel = program('exits.flat', exits(value));
    expect(await front('-kernel', kernel, '-device', 'isa-debug-exit,iobase=0xf4')).toMatchObject({ code, stderr: '' });
  });

  it('prints nothing where no serial port is asked for', async () => {
    const exit = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=4'];
    expect(await front('-kernel', FAIL, ...exit)).toEqual({ code: 3, stdout: '', stderr: '', both: '' });
  });

  it('boots a Linux image until it switches off', async () => {
    const { code, stdout, stderr } = await front(
      '-kernel',
      GOOD,
      '-nographic',
      '-append',
      'console=ttyS0',
      '-no-reboot',
    );
    expect(stdout).toContain('Linux version 0.0.0-sample');
    expect([code, stderr]).toEqual([0, '']);
  });
});

describe("QEMU's CPU models", () => {
  it.each([
    ['qemu64,+pcid,-smep', 'x86-64-v1,+sse3,+cx16,+pcid,-smep', []],
    ['Haswell-noTSX-v2', 'x86-64-v3', []],
    ['max,migratable=no,host-phys-bits=off,smap=off', 'max,-smap', []],
    ['max,+vmx,-svm', 'max', ["this machine's CPU does not have the requested feature: vmx"]],
  ])('%s is %s', (text, name, warnings) => {
    expect(cpuOf(text)).toEqual({ name, warnings });
  });
});

describe("QEMU's options", () => {
  it('of a runner come to a machine', () => {
    const args =
      '--no-reboot -nodefaults -device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=0x4 -vnc none -serial stdio -device pci-testdev -machine q35,accel=kvm:tcg,kernel_irqchip=split -kernel k -m 1g -cpu max -d int';
    expect(readQemuOptions(args.split(' '))).toEqual({
      kernel: 'k',
      append: '',
      initrd: undefined,
      memoryBytes: 2 ** 30,
      cpu: 'max',
      stdio: true,
      noReboot: true,
      testDevice: true,
      debugExit: 0xf4,
      extras: [],
      help: undefined,
      warnings: [expect.stringContaining('pci-testdev'), expect.stringContaining('-d int')],
    });
  });
});
