// What follows from the control registers, the segment registers' hidden parts, the privilege level and RFLAGS.AC:
// recomputed when one of them changes, so that the engine finds it ready (layout.ts names the places).

import { ATTR_DB, ATTR_L } from '../../x86/descriptors.ts';
import {
  CR0_AM,
  CR0_EM,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR4_LA57,
  CR4_OSFXSR,
  CR4_OSXSAVE,
  CR4_PAE,
  CR4_SMAP,
  EFER_LMA,
} from '../../x86/control.ts';
import { FLAGS } from '../../x86/flags.ts';
import type { CpuModel } from '../../x86/models.ts';
import { XSTATE_AVX, XSTATE_SSE } from '../../x86/xstate.ts';
import type { Bitness, CodeMode } from '../state/codeContext.ts';
import * as at from '../state/layout.ts';
import { type CpuState, SEG } from '../state/state.ts';

const ALL_ONES = (1n << 64n) - 1n;

/** How far an address of 48 or 57 bits shifts left and back without change. */
const CANONICAL_48 = 16;
const CANONICAL_57 = 7;

/** Writes the derived state. @returns how code is decoded from now on */
export function recomputeMode(state: CpuState, model: CpuModel): CodeMode {
  const cr4 = state.u64(at.CR4);
  const longMode = (state.u64(at.EFER) & EFER_LMA) !== 0n;
  const cs = state.segment(SEG.CS);
  const mode64 = longMode && (cs.attributes & ATTR_L) !== 0;
  const base = mode64 ? 0n : cs.base;
  state.setU32(at.MODE64, mode64 ? 1 : 0);
  state.setU32(at.PAGING_LEVELS, pagingLevels(state.u64(at.CR0), cr4, longMode));
  state.setU32(at.CANONICAL_SHIFT, longMode && cr4 & CR4_LA57 ? CANONICAL_57 : CANONICAL_48);
  state.setU64(at.CODE_BASE, base);
  state.setU32(at.CODE_LIMIT, mode64 ? 0xffff_ffff : cs.limit);
  state.setU64(at.RESERVED_PHYS_MASK, ((1n << 52n) - 1n) & ~((1n << BigInt(model.physicalBits)) - 1n));
  state.setU32(at.HAS_1G_PAGES, model.features.has('PDPE1GB') ? 1 : 0);
  state.setU32(at.HAS_RDTSCP, model.features.has('RDTSCP') ? 1 : 0);
  const wideStack = (state.segment(SEG.SS).attributes & ATTR_DB) !== 0;
  state.setU32(at.STACK_BITS, mode64 ? 64 : wideStack ? 32 : 16);
  state.setU32(
    at.MMU_CONTEXT,
    alignmentChecked(state) ? at.ALIGNED_CONTEXT : mmuContext(state, cr4) * at.TLB_SET_BYTES,
  );
  const cr0 = state.u64(at.CR0);
  const bitness: Bitness = mode64 ? 64 : cs.attributes & ATTR_DB ? 32 : 16;
  return {
    bitness,
    base,
    limit: mode64 ? ALL_ONES : BigInt(cs.limit),
    sse: sseAllowed(cr0, cr4),
    vex: (cr0 & CR0_PE) !== 0n && (state.u32(at.FLAGS_REST) & FLAGS.VM) === 0,
    avx: avxAllowed(cr0, cr4, state.u64(at.XCR0)),
  };
}

export const sameMode = (a: CodeMode, b: CodeMode): boolean =>
  a.bitness === b.bitness &&
  a.base === b.base &&
  a.limit === b.limit &&
  a.sse === b.sse &&
  a.vex === b.vex &&
  a.avx === b.avx;

/** May XMM registers be used (SDM 3A table 13-1)? Where not, it is #UD or #NM. */
const sseAllowed = (cr0: bigint, cr4: bigint): boolean => (cr0 & (CR0_EM | CR0_TS)) === 0n && (cr4 & CR4_OSFXSR) !== 0n;

/** May YMM registers be used? Where not, it is #UD, or #NM with TS (SDM 2A table 2-17). */
function avxAllowed(cr0: bigint, cr4: bigint, xcr0: bigint): boolean {
  const vectors = XSTATE_SSE | XSTATE_AVX;
  return (cr4 & CR4_OSXSAVE) !== 0n && (xcr0 & vectors) === vectors && (cr0 & CR0_TS) === 0n;
}

function pagingLevels(cr0: bigint, cr4: bigint, longMode: boolean): number {
  if ((cr0 & CR0_PG) === 0n) return 0;
  if (longMode) return cr4 & CR4_LA57 ? 5 : 4;
  return cr4 & CR4_PAE ? 3 : 2;
}

/** Do misaligned accesses raise #AC (SDM 3A 6.15)? */
const alignmentChecked = (state: CpuState): boolean =>
  state.cpl === 3 && (state.u32(at.FLAGS_REST) & FLAGS.AC) !== 0 && (state.u64(at.CR0) & CR0_AM) !== 0n;

/** Supervisor, user, or supervisor that AC lets into user pages under SMAP. */
function mmuContext(state: CpuState, cr4: bigint): number {
  if (state.cpl === 3) return 1;
  const overridden = (state.u32(at.FLAGS_REST) & FLAGS.AC) !== 0;
  return cr4 & CR4_SMAP && overridden ? 2 : 0;
}
