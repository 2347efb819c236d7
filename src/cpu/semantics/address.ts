// What a record says about addressing, for the instructions whose addresses its fields do not spell out whole: string
// operations, bit strings, XLAT.

import { type I32, type I64, i32, i64, select } from '../../wasm/code.ts';
import type { Emitter } from './emitter.ts';
import * as at from '../state/layout.ts';

const addressing = (e: Emitter, mask: number): I32 => i32.and(i32.load8u(e.pc, at.REC_ADDRESSING), i32.const(mask));

/** The bits of an offset that the instruction's address size keeps. */
export const addressMask = (e: Emitter): I64 =>
  select(
    addressing(e, at.ADDRESSING_32),
    i64.const(0xffffffff),
    select(addressing(e, at.ADDRESSING_16), i64.const(0xffff), i64.const(-1)),
  );

/** Index of the segment register that the memory operand goes through. */
export const recordSegment = (e: Emitter): I32 =>
  i32.and(i32.shrU(i32.load8u(e.pc, at.REC_ADDRESSING), i32.const(at.ADDRESSING_SEGMENT_SHIFT)), i32.const(7));
