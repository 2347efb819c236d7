// Names of x86-64 relocation types (psABI, table "Relocation Types"); numbers as they stand in r_info.

/** R_X86_64_* by number. Those from 43 on belong to APX instructions (psABI 1.0, chapter "APX"). */
const NAMES = [
  'NONE',
  '64',
  'PC32',
  'GOT32',
  'PLT32',
  'COPY',
  'GLOB_DAT',
  'JUMP_SLOT',
  'RELATIVE',
  'GOTPCREL',
  '32',
  '32S',
  '16',
  'PC16',
  '8',
  'PC8',
  'DTPMOD64',
  'DTPOFF64',
  'TPOFF64',
  'TLSGD',
  'TLSLD',
  'DTPOFF32',
  'GOTTPOFF',
  'TPOFF32',
  'PC64',
  'GOTOFF64',
  'GOTPC32',
  'GOT64',
  'GOTPCREL64',
  'GOTPC64',
  'GOTPLT64',
  'PLTOFF64',
  'SIZE32',
  'SIZE64',
  'GOTPC32_TLSDESC',
  'TLSDESC_CALL',
  'TLSDESC',
  'IRELATIVE',
  'RELATIVE64',
  'PC32_BND',
  'PLT32_BND',
  'GOTPCRELX',
  'REX_GOTPCRELX',
  'CODE_4_GOTPCRELX',
  'CODE_4_GOTTPOFF',
  'CODE_4_GOTPC32_TLSDESC',
  'CODE_5_GOTPCRELX',
  'CODE_5_GOTTPOFF',
  'CODE_5_GOTPC32_TLSDESC',
  'CODE_6_GOTPCRELX',
  'CODE_6_GOTTPOFF',
  'CODE_6_GOTPC32_TLSDESC',
] as const;

export type RelocationName = (typeof NAMES)[number];

/** The name without its prefix, 'REX_GOTPCRELX'; undefined for a number the psABI does not give. */
export const relocationName = (type: number): RelocationName | undefined => NAMES[type];

/** The number of a name without its prefix. */
export const relocationType = (name: RelocationName): number => NAMES.indexOf(name);

/** The whole name, 'R_X86_64_REX_GOTPCRELX', or 'relocation type 99'. */
export function relocationText(type: number): string {
  const name = relocationName(type);
  return name === undefined ? `relocation type ${type}` : `R_X86_64_${name}`;
}
