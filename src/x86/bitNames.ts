// Names of the bits in control registers, EFER, XCR0, RFLAGS and paging entries, as the manual has them.

type Names = readonly (readonly [bit: number, name: string])[];

const CR0: Names = [
  ...([
    [0, 'PE'],
    [1, 'MP'],
    [2, 'EM'],
    [3, 'TS'],
    [4, 'ET'],
    [5, 'NE'],
  ] as const),
  ...([
    [16, 'WP'],
    [18, 'AM'],
    [29, 'NW'],
    [30, 'CD'],
    [31, 'PG'],
  ] as const),
];
const CR4: Names = [
  ...([
    [0, 'VME'],
    [1, 'PVI'],
    [2, 'TSD'],
    [3, 'DE'],
    [4, 'PSE'],
    [5, 'PAE'],
    [6, 'MCE'],
    [7, 'PGE'],
  ] as const),
  ...([
    [8, 'PCE'],
    [9, 'OSFXSR'],
    [10, 'OSXMMEXCPT'],
    [11, 'UMIP'],
    [12, 'LA57'],
    [13, 'VMXE'],
    [14, 'SMXE'],
  ] as const),
  ...([
    [16, 'FSGSBASE'],
    [17, 'PCIDE'],
    [18, 'OSXSAVE'],
    [20, 'SMEP'],
    [21, 'SMAP'],
    [22, 'PKE'],
    [23, 'CET'],
  ] as const),
];
const EFER: Names = [
  [0, 'SCE'],
  [8, 'LME'],
  [10, 'LMA'],
  [11, 'NXE'],
];
const XCR0: Names = [
  [0, 'x87'],
  [1, 'SSE'],
  [2, 'AVX'],
];
const RFLAGS: Names = [
  ...([
    [0, 'CF'],
    [2, 'PF'],
    [4, 'AF'],
    [6, 'ZF'],
    [7, 'SF'],
    [8, 'TF'],
    [9, 'IF'],
    [10, 'DF'],
    [11, 'OF'],
  ] as const),
  ...([
    [14, 'NT'],
    [16, 'RF'],
    [17, 'VM'],
    [18, 'AC'],
    [21, 'ID'],
  ] as const),
];
const PAGING_ENTRY: Names = [
  ...([
    [0, 'present'],
    [1, 'writable'],
    [2, 'user'],
    [5, 'accessed'],
    [6, 'dirty'],
    [7, 'PS'],
    [8, 'global'],
  ] as const),
  ...([[63, 'no-execute']] as const),
];

const TABLES = { CR0, CR4, EFER, XCR0, RFLAGS, PAGING_ENTRY } as const;
export type BitField = keyof typeof TABLES;

/** The names of the bits that are set, lowest first; bits without a name as "bit 19". @param bits those that are told of */
export function bitNames(field: BitField, value: bigint, bits = (1n << 64n) - 1n): string[] {
  const names = new Map(TABLES[field]);
  const found: string[] = [];
  for (let bit = 0; bit < 64; bit++)
    if (((value & bits) >> BigInt(bit)) & 1n) found.push(names.get(bit) ?? `bit ${bit}`);
  return found;
}
