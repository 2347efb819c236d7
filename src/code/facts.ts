// What instructions and stubs are, as several rooms have to know it.

import { Mnemonic, OpAccess } from 'iced-x86';
import { MIB } from '../bits/sizes.ts';

/** MOVS by its size in bytes: copies from where RSI points to where RDI points. */
export const STRING_MOVES: ReadonlyMap<Mnemonic, number> = new Map([
  [Mnemonic.Movsb, 1],
  [Mnemonic.Movsw, 2],
  [Mnemonic.Movsd, 4],
  [Mnemonic.Movsq, 8],
]);

const WRITES: ReadonlySet<OpAccess> = new Set([
  ...[OpAccess.Write, OpAccess.CondWrite, OpAccess.ReadWrite, OpAccess.ReadCondWrite],
]);
const READS: ReadonlySet<OpAccess> = new Set([
  ...[OpAccess.Read, OpAccess.CondRead, OpAccess.ReadWrite, OpAccess.ReadCondWrite],
]);

/** May what is accessed so be another afterwards? */
export const isWritten = (access: OpAccess): boolean => WRITES.has(access);
/** Does something hang on what was there? */
export const isRead = (access: OpAccess): boolean => READS.has(access);
export const isOnlyRead = (access: OpAccess): boolean => READS.has(access) && !WRITES.has(access);

/** Room for a stub's .bss, heap (4 MiB with bzip2), stack and page tables, where nothing says how much it has. */
export const BSS_ROOM = 5 * MIB;
