// Instructions that microcode does, decoded once for each record.

import type { Instruction } from 'iced-x86';
import { type Fault, isFault } from '../state/cpu.ts';

/** Instructions kept. */
const MOST = 4096;

export class DecodedInstructions {
  readonly #byRecord = new Map<number, Instruction>();
  readonly #decode: (record: number) => Instruction | Fault;

  constructor(decode: (record: number) => Instruction | Fault) {
    this.#decode = decode;
  }

  /** Good until the next call: nobody else frees it. */
  of(record: number): Instruction | Fault {
    const known = this.#byRecord.get(record);
    if (known) return known;
    const insn = this.#decode(record);
    if (isFault(insn)) return insn;
    if (this.#byRecord.size >= MOST) this.forget();
    this.#byRecord.set(record, insn);
    return insn;
  }

  /** Whatever the records' addresses held is gone. */
  forget(): void {
    for (const insn of this.#byRecord.values()) insn.free();
    this.#byRecord.clear();
  }
}
