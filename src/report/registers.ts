// The processor's registers, short for people and whole for JSON.

import { hex } from '../bits/hex.ts';
import type { NamedBits, Registers } from '../diagnose/registers.ts';
import type { Line } from '../bits/lines.ts';

const COLUMNS = 4;
/** Of a 64-bit number with its 0x. */
const NUMBER_WIDTH = 18;
const FLAT_LIMIT = 0xffff_ffff;

/** A table of the general registers, then the mode and what decides it. */
export function registerLines(registers: Registers): Line[] {
  const { general, flags, segments, tables, control, cr2, cr3, mode, cpl, pagingLevels } = registers;
  const cells = general.map(({ name, value }) => `${name.padEnd(3)} ${hex(value).padEnd(NUMBER_WIDTH)}`);
  const rows = Array.from({ length: general.length / COLUMNS }, (_, row) =>
    cells
      .slice(row * COLUMNS, (row + 1) * COLUMNS)
      .join('  ')
      .trimEnd(),
  );
  const paging = pagingLevels === 0 ? 'no paging' : `${pagingLevels}-level paging`;
  const where = `${mode === '64-bit' ? '64-bit mode' : `${mode} mode`}, privilege level ${cpl}, ${paging}`;
  const loaded = segments.map(({ name, selector, base, limit }) => {
    const flat = base === 0n && (limit === FLAT_LIMIT || selector === 0);
    return `${name} ${hex(selector)}${flat ? '' : ` (${hex(base)}, limit ${hex(limit)})`}`;
  });
  return [
    ...rows.map(row),
    wrapped(`RIP ${hex(registers.rip)}; RFLAGS ${bitsText(flags)}; ${where}`),
    wrapped(`CR2 ${hex(cr2)}; CR3 ${hex(cr3)}; ${control.map((one) => `${one.name} ${bitsText(one)}`).join('; ')}`),
    {
      text: [...loaded, ...tables.map(({ name, base, limit }) => `${name} ${hex(base)}, limit ${hex(limit)}`)].join(
        '; ',
      ),
      indent: 4,
      hanging: 2,
    },
  ];
}

const row = (text: string): Line => ({ text, indent: 4, whole: true });
const wrapped = (text: string): Line => ({ text, indent: 4, hanging: 2 });

const bitsText = ({ value, bits }: NamedBits): string =>
  bits.length === 0 ? hex(value) : `${hex(value)} (${bits.join(' ')})`;

export const registersJson = ({
  mode,
  cpl,
  pagingLevels,
  rip,
  general,
  flags,
  segments,
  tables,
  ...rest
}: Registers) => ({
  mode,
  cpl,
  pagingLevels,
  rip: hex(rip),
  general: general.map(({ name, value }) => ({ name, value: hex(value) })),
  bits: [flags, ...rest.control].map(({ name, value, bits }) => ({ name, value: hex(value), set: bits })),
  cr2: hex(rest.cr2),
  cr3: hex(rest.cr3),
  segments: segments.map(({ name, selector, base, limit, attributes }) => ({
    ...{ name, selector: hex(selector), base: hex(base), limit: hex(limit), attributes: hex(attributes) },
  })),
  tables: tables.map(({ name, base, limit }) => ({ name, base: hex(base), limit: hex(limit) })),
});
