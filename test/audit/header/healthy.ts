// A small bzImage in which every field is as a kernel's build has it, PE header included: setup part of 0x3000 bytes,
// sections as header.S lays them out since 6.7, a zstd payload of one raw block.
import { putU16, putU32, putU64 } from '../../../src/bits/cursor.ts';
import { putHeaderField, type SetupHeaderField } from '../../../src/image/setup-header.ts';

export const SETUP_SIZE = 0x3000;
export const PART_SIZE = 0x4000;
export const PAYLOAD_OFFSET = 0x400;
export const PE_OFFSET = 0x40;
export const COFF = PE_OFFSET + 4;
export const OPTIONAL = COFF + 20;
export const SECTION_TABLE = OPTIONAL + 0xa0;
export const CERTIFICATE_ENTRY = OPTIONAL + 112 + 4 * 8;
const VERSION_AT = 0x1800;
const DATA_AT = 0x6000;

type Value = number | bigint;

export type HealthyParts = {
  readonly fields?: Partial<Record<SetupHeaderField, Value>>;
  readonly version?: string;
  /** Without: no "MZ". */
  readonly pe?: boolean;
  /** Bytes behind the protected-mode part. */
  readonly behind?: Uint8Array;
};

export function healthyImage(parts: HealthyParts = {}): Uint8Array {
  const behind = parts.behind ?? new Uint8Array();
  const bytes = new Uint8Array(SETUP_SIZE + PART_SIZE + behind.length);
  bytes.set(behind, SETUP_SIZE + PART_SIZE);
  const part = bytes.subarray(SETUP_SIZE, SETUP_SIZE + PART_SIZE);
  part.fill(0x90, 0, PART_SIZE - 0x200);
  const payload = zstdPayload(0x1000, 0x3000);
  part.set(payload, PAYLOAD_OFFSET);
  part.set(kernelInfo(), 0x2000);
  bytes.set(new TextEncoder().encode(`${parts.version ?? '7.1.0-test (someone) #1'}\0`), VERSION_AT);
  if (parts.pe !== false) putPe(bytes);
  for (const [name, value] of Object.entries({ ...fieldsOf(payload.length), ...parts.fields })) {
    putHeaderField(bytes, name as SetupHeaderField, value);
  }
  return bytes;
}

const fieldsOf = (payloadLength: number): Partial<Record<SetupHeaderField, Value>> => ({
  setup_sects: SETUP_SIZE / 512 - 1,
  root_flags: 1,
  syssize: PART_SIZE / 16,
  vid_mode: 0xffff,
  boot_flag: 0xaa55,
  jump: 0x6aeb,
  header: 0x53726448,
  version: 0x20f,
  start_sys_seg: 0x1000,
  kernel_version: VERSION_AT - 0x200,
  loadflags: 1,
  setup_move_size: 0x8000,
  code32_start: 0x100000,
  heap_end_ptr: 0x3000,
  initrd_addr_max: 0x7fffffff,
  kernel_alignment: 0x200000,
  relocatable_kernel: 1,
  min_alignment: 21,
  xloadflags: 0x7f,
  cmdline_size: 2047,
  payload_offset: PAYLOAD_OFFSET,
  payload_length: payloadLength,
  pref_address: 0x1000000n,
  init_size: 0x100000,
  handover_offset: 0x1c00,
  kernel_info_offset: 0x2000,
});

/** A frame with one raw block, and the unpacked size behind it. */
export function zstdPayload(size: number, unpacked: number): Uint8Array {
  const bytes = new Uint8Array(9 + size + 4).fill(0x55);
  bytes.set([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]);
  putU32(bytes, 6, (size << 3) | 1);
  bytes[9] = 0x55;
  putU32(bytes, bytes.length - 4, unpacked);
  return bytes;
}

function kernelInfo(): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode('LToP'));
  putU32(bytes, 4, 16);
  putU32(bytes, 8, 16);
  putU32(bytes, 12, 0x8000_0009);
  return bytes;
}

function putPe(bytes: Uint8Array): void {
  bytes.set([0x4d, 0x5a]);
  putU32(bytes, 0x3c, PE_OFFSET);
  putU32(bytes, PE_OFFSET, 0x4550);
  putU16(bytes, COFF, 0x8664);
  putU16(bytes, COFF + 2, 4);
  putU16(bytes, COFF + 16, 0xa0);
  putU16(bytes, COFF + 18, 0x206);
  putU16(bytes, OPTIONAL, 0x20b);
  putU32(bytes, OPTIONAL + 16, 0x5800);
  putU32(bytes, OPTIONAL + 20, SETUP_SIZE);
  putU64(bytes, OPTIONAL + 24, 0n);
  putU32(bytes, OPTIONAL + 32, 0x1000);
  putU32(bytes, OPTIONAL + 36, 0x200);
  putU32(bytes, OPTIONAL + 56, 0x9000);
  putU32(bytes, OPTIONAL + 60, 0x1000);
  putU16(bytes, OPTIONAL + 68, 10);
  putU16(bytes, OPTIONAL + 70, 0x100);
  putU32(bytes, OPTIONAL + 108, 6);
  const sections: readonly (readonly [string, number, number, number, number])[] = [
    ['.setup', 0x1000, 0x1000, 0x1000, 0x4200_0040],
    ['.compat', 0x2000, 0x1000, 0x1000, 0x4200_0040],
    ['.text', SETUP_SIZE, 0x3000, 0x3000, 0x6000_0020],
    ['.data', DATA_AT, 0x3000, 0x1000, 0xc000_0040],
  ];
  for (const [i, [name, at, memory, raw, flags]] of sections.entries()) {
    const header = SECTION_TABLE + 40 * i;
    bytes.set(new TextEncoder().encode(name), header);
    for (const [j, value] of [memory, at, raw, at].entries()) putU32(bytes, header + 8 + 4 * j, value);
    putU32(bytes, header + 36, flags);
  }
  bytes.set([1, 8, 0x4c, 0x01, 0x00, 0x50], 0x2000);
}
