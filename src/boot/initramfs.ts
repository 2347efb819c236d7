// The initramfs of `--run`: busybox, and an /init that mounts the usual places, runs one command and powers off. A static
// program is all that it can use: there are no libraries in it.
import { readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { EM_X86_64, isElf } from '../image/elf.ts';
import { STATUS_LINE } from '../machine/command.ts';
import { type CpioEntry, cpioArchive, S_IFCHR, S_IFDIR, S_IFREG } from './cpio.ts';

const EM_386 = 3;
const ELFCLASS32 = 1;
const ELFCLASS64 = 2;
const PT_INTERP = 3;
/** More program headers than this no program has. */
const MOST_HEADERS = 1024;

/** Where the fields of the two classes are (gABI, "ELF Header"). */
const LAYOUTS: Readonly<Record<number, { machine: number; phoff: number; phentsize: number; phnum: number }>> = {
  [ELFCLASS32]: { machine: EM_386, phoff: 28, phentsize: 42, phnum: 44 },
  [ELFCLASS64]: { machine: EM_X86_64, phoff: 32, phentsize: 54, phnum: 56 },
};

/** Throws InputError for what is no statically linked x86 program. @param what the file, as the message names it */
export function checkStaticProgram(bytes: Uint8Array, what: string): void {
  const file = readerOf(bytes, what);
  const layout = isElf(bytes) ? LAYOUTS[file.u8(4)] : undefined;
  if (layout === undefined || file.u16(18) !== layout.machine) throw new InputError(`${what} is no x86 Linux program`);
  const wide = layout.machine === EM_X86_64;
  const start = wide ? file.size64(layout.phoff, 'e_phoff') : file.u32(layout.phoff);
  const count = file.u16(layout.phnum);
  if (count > MOST_HEADERS) throw new InputError(`${what} has ${count} program headers, which cannot be right`);
  for (let i = 0; i < count; i++) {
    if (file.u32(start + i * file.u16(layout.phentsize)) === PT_INTERP) {
      throw new InputError(`${what} is dynamically linked, and there are no libraries for it in the guest`);
    }
  }
}

/** One word for a shell, whatever is in it. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * A session with a terminal of its own, without which Ctrl-C reaches nobody: /dev/console cannot be one. Where busybox can
 * do it.
 */
const OWN_SESSION = '$([ -e /bin/cttyhack ] && echo setsid cttyhack) ';

/** The serial ports of machine/command.ts, as Linux names them. */
const [OUT, ERR, CONTROL] = ['/dev/ttyS1', '/dev/ttyS2', '/dev/ttyS3'];

/** Raw, so that a line end stays one; setting that again waits for what is not sent yet. */
const RAW = `raw() { for port in "$@"; do [ -c $port ] && stty -F $port raw -echo 2>/dev/null; done; }`;

/**
 * The command with its output on ports of its own. A kernel that does not let two ports share a line has no ERR; one
 * without OUT prints on the console.
 */
const apart = (command: string): readonly string[] => [
  'out=/dev/console',
  `if (: >${OUT}) 2>/dev/null; then out=${OUT}; else echo "init: no ${OUT}, so the command prints on the console"; fi`,
  'err=$out',
  `if (: >${ERR}) 2>/dev/null; then err=${ERR}; fi`,
  'exec 3>$out 4>$err',
  `raw ${OUT} ${ERR}`,
  `sh -c ${quoted(command)} </dev/null >&3 2>&4 3>&- 4>&-`,
  'status=$?',
  `raw ${OUT} ${ERR}`,
  'exec 3>&- 4>&-',
];

const onTheConsole = (command: string): readonly string[] => [`sh -c ${quoted(command)}`, 'status=$?'];

/**
 * Where the command reads and writes. `apart`: at ports of its own, and it reads nothing. `console`. `terminal`: the console,
 * and somebody types: keys such as Ctrl-C are to reach the command. When it ends, the terminal is hung up, and what the
 * kernel has not sent yet is lost.
 */
export type CommandPlace = 'apart' | 'console' | 'terminal';

const RUN_AT: Readonly<Record<CommandPlace, (command: string) => readonly string[]>> = {
  apart,
  console: onTheConsole,
  terminal: (command) => onTheConsole(command).map((line, index) => (index === 0 ? OWN_SESSION + line : line)),
};

/** Tells the status where nothing else is said: no output of a command can be taken for it. */
const TELL = [
  `if (: >${CONTROL}) 2>/dev/null; then exec 5>${CONTROL}; raw ${CONTROL}; echo "${STATUS_LINE}$status" >&5; raw ${CONTROL}; exec 5>&-`,
  `else echo "init: the command ended with status $status, and there is no ${CONTROL} to say so"; fi`,
];

/** Text of /init. The directory is /bin for every program that busybox is. */
function initScript(command: string, place: CommandPlace): string {
  return [
    '#!/bin/busybox sh',
    'export PATH=/bin HOME=/root',
    '/bin/busybox mount -t proc proc /proc',
    '/bin/busybox mount -t sysfs sysfs /sys',
    '/bin/busybox mount -t devtmpfs devtmpfs /dev',
    '/bin/busybox --install -s /bin',
    RAW,
    ...RUN_AT[place](command),
    ...TELL,
    'poweroff -f',
    '',
  ].join('\n');
}

const directory = (path: string, permissions = 0o755): CpioEntry => ({ path, mode: S_IFDIR | permissions });
const program = (path: string, data: Uint8Array): CpioEntry => ({ path, mode: S_IFREG | 0o755, data });

/** The kernel opens it for /init before anything is mounted. */
const CONSOLE: CpioEntry = { path: 'dev/console', mode: S_IFCHR | 0o600, device: { major: 5, minor: 1 } };

/**
 * A cpio archive that runs `command` with busybox's `sh -c`, tells its status (machine/command.ts) and powers off.
 * @param busybox a program that checkStaticProgram lets through
 * Throws InputError for a command that is empty or has a NUL character in it.
 */
export function commandInitramfs(command: string, busybox: Uint8Array, place: CommandPlace = 'apart'): Uint8Array {
  if (command.trim() === '') throw new InputError('there is no command to run: --run was given an empty one');
  if (command.includes('\0')) throw new InputError('the command contains a NUL character');
  return cpioArchive([
    ...['bin', 'dev', 'proc', 'root', 'sys'].map((path) => directory(path)),
    directory('tmp', 0o1777),
    CONSOLE,
    program('bin/busybox', busybox),
    program('init', new TextEncoder().encode(initScript(command, place))),
  ]);
}
