// A field of boot_params as the loader has filled it in, by its name (Documentation/arch/x86/zero-page.rst).

import { InputError } from '../../bits/errors.ts';
import { hex } from '../../bits/hex.ts';
import { SETUP_HEADER_FIELDS } from '../../image/setup-header.ts';
import type { Kind } from './kind.ts';
import { putBytes } from './memory.ts';
import { numberOf, oneOf, split } from './text.ts';

export type ParamsField = { readonly kind: 'boot_params'; readonly field: string; readonly value: bigint };

type Row = { readonly name: string; readonly offset: number; readonly size: number };

/** Beside the setup header, which has the offsets that it has in the file. */
const OTHERS: readonly Row[] = [
  { name: 'ext_mem_k', offset: 0x002, size: 2 },
  { name: 'orig_video_mode', offset: 0x006, size: 1 },
  { name: 'orig_video_cols', offset: 0x007, size: 1 },
  { name: 'orig_video_lines', offset: 0x00e, size: 1 },
  { name: 'orig_video_isVGA', offset: 0x00f, size: 1 },
  { name: 'tboot_addr', offset: 0x058, size: 8 },
  { name: 'acpi_rsdp_addr', offset: 0x070, size: 8 },
  { name: 'ext_ramdisk_image', offset: 0x0c0, size: 4 },
  { name: 'ext_ramdisk_size', offset: 0x0c4, size: 4 },
  { name: 'ext_cmd_line_ptr', offset: 0x0c8, size: 4 },
  { name: 'cc_blob_address', offset: 0x13c, size: 4 },
  { name: 'alt_mem_k', offset: 0x1e0, size: 4 },
  { name: 'scratch', offset: 0x1e4, size: 4 },
  { name: 'e820_entries', offset: 0x1e8, size: 1 },
  { name: 'eddbuf_entries', offset: 0x1e9, size: 1 },
  { name: 'secure_boot', offset: 0x1ec, size: 1 },
  { name: 'sentinel', offset: 0x1ef, size: 1 },
];
const ROWS: readonly Row[] = [...OTHERS, ...SETUP_HEADER_FIELDS];

const rowOf = (field: string): Row => {
  const name = oneOf(
    field,
    ROWS.map((row) => row.name),
  );
  return ROWS.find((row) => row.name === name) as Row;
};

export const bootParams: Kind<ParamsField> = {
  form: 'FIELD=VALUE',
  help: 'sets a field of boot_params in memory, those of the setup header too',
  parse(text) {
    const [name, value] = split(text, '=', this.form);
    const { name: field, size } = rowOf(name);
    return { kind: 'boot_params', field, value: numberOf(value, (1n << BigInt(8 * size)) - 1n) };
  },
  text: ({ field, value }) => `${field}=${hex(value)}`,
  make({ field, value }, { machine, boot }) {
    const params = boot.placement.find(({ name }) => name === 'boot_params');
    if (params === undefined) throw new InputError('only the Linux boot protocol has boot_params');
    const { offset, size } = rowOf(field);
    const bytes = Uint8Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
    putBytes(machine, params.start + offset, bytes);
  },
};
