// Exception vectors (SDM 3A table 6-1), which push an error code, and how a second exception during delivery of the
// first is taken (SDM 3A tables 6-4 and 6-5).

export const VECTOR = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  MC: 18,
  XM: 19,
  VE: 20,
  CP: 21,
} as const;

export type VectorClass = 'benign' | 'contributory' | 'page fault' | 'double fault';

export type VectorInfo = {
  readonly vector: number;
  readonly mnemonic: string;
  readonly name: string;
  readonly errorCode: boolean;
  readonly class: VectorClass;
};

const row = (
  vector: number,
  mnemonic: string,
  name: string,
  errorCode = false,
  kind: VectorClass = 'benign',
): VectorInfo => ({ vector, mnemonic, name, errorCode, class: kind });

const ROWS: readonly VectorInfo[] = [
  row(0, '#DE', 'divide error', false, 'contributory'),
  row(1, '#DB', 'debug'),
  row(2, 'NMI', 'non-maskable interrupt'),
  row(3, '#BP', 'breakpoint'),
  row(4, '#OF', 'overflow'),
  row(5, '#BR', 'bound range exceeded'),
  row(6, '#UD', 'invalid opcode'),
  row(7, '#NM', 'device not available'),
  row(8, '#DF', 'double fault', true, 'double fault'),
  row(9, '#MP', 'coprocessor segment overrun'),
  row(10, '#TS', 'invalid TSS', true, 'contributory'),
  row(11, '#NP', 'segment not present', true, 'contributory'),
  row(12, '#SS', 'stack fault', true, 'contributory'),
  row(13, '#GP', 'general protection', true, 'contributory'),
  row(14, '#PF', 'page fault', true, 'page fault'),
  row(16, '#MF', 'x87 floating-point error'),
  row(17, '#AC', 'alignment check', true),
  row(18, '#MC', 'machine check'),
  row(19, '#XM', 'SIMD floating-point error'),
  row(20, '#VE', 'virtualization exception', false, 'page fault'),
  row(21, '#CP', 'control protection', true, 'contributory'),
];
const BY_VECTOR = new Map(ROWS.map((info) => [info.vector, info]));

/** What is known of a vector, 0 to 255; vectors without an exception of their own are benign. */
export const vectorInfo = (vector: number): VectorInfo =>
  BY_VECTOR.get(vector) ?? row(vector, `INT 0x${vector.toString(16)}`, `interrupt ${vector}`);

/** "#GP(0x10)", "#PF(0x2)", "#UD": the manual's way to write an exception. */
export const exceptionText = (vector: number, error?: number): string =>
  vectorInfo(vector).mnemonic + (error === undefined ? '' : `(0x${error.toString(16)})`);

export type Escalation = 'serial' | 'double fault' | 'shutdown';

/** SDM 3A table 6-5: what a second event met while the first is being delivered leads to. */
export const escalate = (first: VectorClass, second: VectorClass): Escalation => {
  const severe = second === 'contributory' || second === 'page fault';
  if (first === 'double fault') return severe ? 'shutdown' : 'serial';
  if (first === 'contributory') return second === 'contributory' ? 'double fault' : 'serial';
  if (first === 'page fault') return severe ? 'double fault' : 'serial';
  return 'serial';
};
