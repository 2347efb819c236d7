// Every instruction but the near branches (control.ts): definitions by family, and the handlers that are no plain
// combination of operands.

import { arithmetic } from './arithmetic.ts';
import { avxMoves } from './avxMove.ts';
import { avxPacked } from './avxPacked.ts';
import { avxPermutes } from './avxPermute.ts';
import { bcd, bcdHandlers } from './bcd.ts';
import { bitHandlers, bits } from './bits.ts';
import { stringComparisons } from './compareStrings.ts';
import { exchange, exchangeHandlers } from './exchange.ts';
import { flagOps } from './flagOps.ts';
import type { Definition, Handler } from './handler.ts';
import { maskedStores } from './maskedStore.ts';
import { mmxHandlers } from './mmx.ts';
import { moveHandlers, moves } from './move.ts';
import { multiplication } from './multiply.ts';
import { shift } from './shift.ts';
import { ssePacked } from './sse.ts';
import { sse4 } from './sse4.ts';
import { sseMoves } from './sseMove.ts';
import { ssse3 } from './ssse3.ts';
import { stackHandlers } from './stack.ts';
import { stringHandlers } from './string.ts';
import { deniedHandlers } from './ymm.ts';

export const definitions: readonly Definition[] = [
  ...arithmetic,
  ...moves,
  ...shift,
  ...multiplication,
  ...bits,
  ...exchange,
  ...flagOps,
  ...bcd,
];

export const extraHandlers: readonly Handler[] = [
  ...moveHandlers,
  ...bitHandlers,
  ...exchangeHandlers,
  ...stackHandlers,
  ...bcdHandlers,
  ...stringHandlers,
  ...ssePacked,
  ...sseMoves,
  ...mmxHandlers,
  ...maskedStores,
  ...ssse3,
  ...sse4,
  ...stringComparisons,
  ...deniedHandlers,
  ...avxMoves,
  ...avxPacked,
  ...avxPermutes,
];
