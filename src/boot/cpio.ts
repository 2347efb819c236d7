// The "newc" cpio archive, the form of an initramfs (Documentation/driver-api/early-userspace/buffer-format.rst): for each
// file a header of ASCII numbers, its name, its data, each filled up to 4 bytes. Owner and group are 0, times are 0, so
// the same files give the same archive.
import { InputError } from '../bits/errors.ts';
import { alignUp } from './layout.ts';

export type CpioEntry = {
  /** Without a slash at its start; directories come before what is in them. */
  readonly path: string;
  /** st_mode: type and permission bits. */
  readonly mode: number;
  readonly data?: Uint8Array;
  /** Of a device node. */
  readonly device?: { readonly major: number; readonly minor: number };
};

export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFCHR = 0o020000;

const MAGIC = '070701';
const HEADER_SIZE = 110;
const TRAILER = 'TRAILER!!!';
const ALIGNMENT = 4;
/** c_filesize has 32 bits. */
const LARGEST_FILE = 2 ** 32 - 1;

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Header, name and NUL, filled up. */
function headOf(entry: CpioEntry, inode: number): Uint8Array {
  const path = ascii(entry.path);
  const size = entry.data?.length ?? 0;
  if (size > LARGEST_FILE) throw new InputError(`'${entry.path}' is too large for an initramfs`);
  const links = (entry.mode & 0o170000) === S_IFDIR ? 2 : 1;
  const { major, minor } = entry.device ?? { major: 0, minor: 0 };
  const fields = [inode, entry.mode, 0, 0, links, 0, size, 0, 0, major, minor, path.length + 1, 0];
  const head = new Uint8Array(alignUp(HEADER_SIZE + path.length + 1, ALIGNMENT));
  head.set(ascii(MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join('')));
  head.set(path, HEADER_SIZE);
  return head;
}

/** The archive of these files, in this order. Throws InputError for a file of 4 GiB or more. */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  const all = [...entries, { path: TRAILER, mode: 0 }];
  const heads = all.map((entry, index) => headOf(entry, index + 1));
  const sizes = all.map(({ data }, index) => (heads[index]?.length ?? 0) + alignUp(data?.length ?? 0, ALIGNMENT));
  const archive = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  for (const [index, { data }] of all.entries()) {
    const head = heads[index] as Uint8Array;
    archive.set(head, at);
    if (data) archive.set(data, at + head.length);
    at += sizes[index] as number;
  }
  return archive;
}
