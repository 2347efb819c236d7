import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CpioEntry, cpioArchive, S_IFCHR, S_IFDIR, S_IFREG } from '../../src/boot/cpio.ts';
import { checkStaticProgram, commandInitramfs } from '../../src/boot/initramfs.ts';
import { makeElf } from '../image/synthetic.ts';

type Read = CpioEntry & { readonly inode: number; readonly links: number };

/** Reads an archive as the kernel's init/initramfs.c does: header, name, data, each from a multiple of 4 on. */
function unpacked(archive: Uint8Array): Read[] {
  const text = (at: number, size: number): string => new TextDecoder('latin1').decode(archive.subarray(at, at + size));
  const entries: Read[] = [];
  for (let at = 0; ; ) {
    expect([at % 4, text(at, 6)]).toEqual([0, '070701']);
    const fields = Array.from({ length: 13 }, (_, i) => Number.parseInt(text(at + 6 + 8 * i, 8), 16));
    const [inode = 0, mode = 0, , , links = 0, , size = 0, , , major = 0, minor = 0, nameSize = 0] = fields;
    const path = text(at + 110, nameSize - 1);
    expect(archive[at + 110 + nameSize - 1]).toBe(0);
    const start = Math.ceil((at + 110 + nameSize) / 4) * 4;
    at = Math.ceil((start + size) / 4) * 4;
    if (path === 'TRAILER!!!') return at === archive.length ? entries : [];
    entries.push({ inode, path, mode, links, data: archive.slice(start, start + size), device: { major, minor } });
  }
}

const find = (entries: readonly Read[], path: string): Read => {
  const found = entries.find((entry) => entry.path === path);
  if (!found) throw new Error(`no ${path}`);
  return found;
};

describe('an archive', () => {
  it.each([0, 1, 2, 3, 4, 5])('holds a file of %d bytes', (size) => {
    const data = Uint8Array.from({ length: size }, (_, i) => 0x30 + i);
    const [file, next] = unpacked(
      cpioArchive([
        { path: 'f', mode: S_IFREG | 0o640, data },
        { path: 'dir', mode: S_IFDIR | 0o755 },
      ]),
    );
    expect(file).toMatchObject({ path: 'f', mode: 0o100640, links: 1, data });
    expect(next).toMatchObject({ path: 'dir', mode: 0o040755, links: 2 });
  });

  it.each(['a', 'ab', 'abc', 'abcd', 'a/bcdé'])('holds the name %s', (path) => {
    const [file] = unpacked(cpioArchive([{ path, mode: S_IFREG, data: Uint8Array.of(1) }]));
    expect(new TextDecoder().decode(Uint8Array.from(file?.path ?? '', (c) => c.charCodeAt(0)))).toBe(path);
  });

  it('numbers its files, so that none is taken for a link to another', () => {
    const entries = unpacked(cpioArchive(['a', 'b', 'c'].map((path) => ({ path, mode: S_IFREG }))));
    expect(new Set(entries.map(({ inode }) => inode)).size).toBe(3);
  });

  it('holds device nodes', () => {
    const [node] = unpacked(cpioArchive([{ path: 'c', mode: S_IFCHR | 0o600, device: { major: 5, minor: 1 } }]));
    expect(node).toMatchObject({ mode: 0o020600, device: { major: 5, minor: 1 } });
  });
});

describe('the initramfs of a command', () => {
  const BUSYBOX = Uint8Array.of(1, 2, 3);
  const built = (command: string) => unpacked(commandInitramfs(command, BUSYBOX));
  const initOf = (command: string): string => new TextDecoder().decode(find(built(command), 'init').data);

  it('has busybox, /init and the console, with the directories before what is in them', () => {
    const entries = built('true');
    expect(find(entries, 'bin/busybox')).toMatchObject({ mode: 0o100755, data: BUSYBOX });
    expect(find(entries, 'init').mode).toBe(0o100755);
    expect(find(entries, 'dev/console')).toMatchObject({ mode: 0o020600, device: { major: 5, minor: 1 } });
    const paths = entries.map(({ path }) => path);
    for (const path of paths.filter((one) => one.includes('/'))) {
      expect(paths.indexOf(path.slice(0, path.indexOf('/')))).toBeLessThan(paths.indexOf(path));
      expect(paths).toContain(path.slice(0, path.indexOf('/')));
    }
  });

  it('runs the command after the mounts, and powers off at the end', () => {
    const lines = initOf('uname -a; cat /proc/cpuinfo').trimEnd().split('\n');
    expect(lines[0]).toBe('#!/bin/busybox sh');
    const run = lines.findIndex((line) => line.startsWith("sh -c 'uname -a; cat /proc/cpuinfo' "));
    expect(run).toBeGreaterThan(lines.indexOf('/bin/busybox mount -t devtmpfs devtmpfs /dev'));
    expect(lines.at(-1)).toBe('poweroff -f');
  });

  it('passes the command on as it is', () => {
    expect(initOf(`echo "it's $HOME"`)).toContain(`sh -c 'echo "it'\\''s $HOME"' </dev/null`);
  });

  /** Runs the shell part of /init here, with files in the place of the serial ports. */
  const runHere = (command: string) => {
    const folder = mkdtempSync(join(tmpdir(), 'firstlight-init-'));
    const script = initOf(command)
      .split('\n')
      .filter(
        (line) => !line.includes('/bin/busybox') && line !== 'export PATH=/bin HOME=/root' && line !== 'poweroff -f',
      )
      .join('\n')
      .replaceAll('/dev/tty', `${folder}/tty`);
    const { stdout } = spawnSync('/bin/sh', ['-c', script], { encoding: 'latin1' });
    const [out, err, control] = [1, 2, 3].map((port) => readFileSync(join(folder, `ttyS${port}`), 'latin1'));
    rmSync(folder, { recursive: true });
    return { console: stdout, out, err, control };
  };

  it.each([
    ['exit 7', '', 7],
    ['printf "a\\0b"; echo oops >&2', 'a\0b', 0],
    ['cat', '', 0],
    ['no-such-program-anywhere', '', 127],
    ['/dev/null', '', 126],
    ['kill -9 $$', '', 137],
    ['echo status 9', 'status 9\n', 0],
  ])('tells stdout and status of `%s` apart', (command, out, status) => {
    expect(runHere(command)).toMatchObject({ console: '', out, control: `status ${status}\n` });
  });

  it('tells stderr apart', () => {
    expect(runHere('echo one; echo two >&2')).toMatchObject({ out: 'one\n', err: 'two\n' });
  });

  it('has a terminal of its own where somebody types', () => {
    const init = find(unpacked(commandInitramfs('sh', BUSYBOX, 'terminal')), 'init').data;
    expect(new TextDecoder().decode(init)).toContain("\n$([ -e /bin/cttyhack ] && echo setsid cttyhack) sh -c 'sh'\n");
  });

  it('refuses a NUL, and no command', () => {
    expect(() => built('a\0b')).toThrow('NUL');
    expect(() => built(' \n')).toThrow('no command');
  });
});

describe('a program for it', () => {
  const interp = (): Uint8Array => {
    const bytes = makeElf();
    bytes[64] = 3;
    return bytes;
  };

  it('may be static, of 64 or 32 bits', () => {
    const small = new Uint8Array(52);
    small.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
    small[18] = 3;
    expect(() => checkStaticProgram(makeElf(), 'it')).not.toThrow();
    expect(() => checkStaticProgram(small, 'it')).not.toThrow();
  });

  it.each([
    ['a script', new TextEncoder().encode('#!/bin/sh\nexit 0\n'), "'b' is no x86 Linux program"],
    ['of another machine', makeElf({ machine: 183 }), "'b' is no x86 Linux program"],
    ['dynamically linked', interp(), "'b' is dynamically linked"],
    ['cut off', makeElf().subarray(0, 57), "'b' ends at 0x39"],
    ['empty', new Uint8Array(), "'b' is no x86 Linux program"],
  ])('is refused where it is %s', (_what, bytes, message) => {
    expect(() => checkStaticProgram(bytes, "'b'")).toThrow(message);
  });
});
