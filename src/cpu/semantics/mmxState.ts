// What every MMX instruction does to the x87 state (SDM 1 9.5.1): TOP becomes 0 and all registers are in use. The state
// block has the registers as FXSAVE lays them, ST(0) first, so that setting TOP to 0 moves them.

import { get, i32, type I32, memoryCopy, type Stmt, set, when } from '../../wasm/code.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import * as at from '../state/layout.ts';

const c32 = i32.const;
const REGISTERS_BYTES = 8 * 16;
const TOP_MASK = 7 << 11;
const COPY = c32(at.SCRATCH + 128);

/** 16 times TOP: how far the registers stand from where MMX has them. */
export const topDistance = (): I32 => i32.and(i32.shrU(i32.load16u(c32(at.FSW)), c32(7)), c32(0x70));

/** () -> () */
export const defineEnterMmx = (module: ModuleBuilder): number =>
  module.function([], [], (fn) => {
    const distance = fn.local('i32');
    const rest = i32.sub(c32(REGISTERS_BYTES), get(distance));
    const rotate: Stmt = [
      memoryCopy(COPY, c32(at.ST0), c32(REGISTERS_BYTES)),
      memoryCopy(i32.add(c32(at.ST0), get(distance)), COPY, rest),
      memoryCopy(c32(at.ST0), i32.add(COPY, rest), get(distance)),
      i32.store16(c32(at.FSW), i32.and(i32.load16u(c32(at.FSW)), c32(~TOP_MASK))),
    ];
    return [set(distance, topDistance()), when(get(distance), rotate), i32.store8(c32(at.FTW), c32(0xff))];
  });
