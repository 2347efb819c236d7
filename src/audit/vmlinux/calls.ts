// Tells startup code from the rest of the kernel. Nothing in a stripped file does: a startup function that can panic, or
// pass on an exception, is one call away from printk, locks, and in the end everything. But what leads to much code and
// is startup code all the same is called from startup code only, and that lies close together (.head.text, or pieces of
// .init.text); panic, __stack_chk_fail and the exception handlers are called from elsewhere too. Small helpers that both
// worlds call (memcpy, thunks) lead to little.
import { FlowControl, Mnemonic } from 'iced-x86';
import { viewOf } from '../../bits/cursor.ts';
import { type KernelFile, segmentAt } from './layout.ts';
import type { Operation, Operations } from './operation.ts';

export interface Calls {
  /** Takes a function as startup code; what lies near it is not elsewhere. */
  addStartup(start: number): void;
  /** Whether the looks are used up: then everything is taken for the rest of the kernel. */
  gaveUp(): boolean;
  /** Asks anew, now that more is known of where startup code lies. */
  again(): void;
  /** Whether a function belongs to the rest of the kernel, and is not followed. */
  isCommon(target: number): boolean;
  /** Whether a function may return, as far as its own jumps and those of its callees a few calls down tell. */
  mayReturn(target: number): boolean;
}

/** All startup code is some 800 to 2,000 instructions; a helper that both worlds share leads to far less. */
const MUCH_CODE = 2000;
const DEEPEST_LOOK = 4;
/** Instructions looked at, at most, so that a mutilated file is no more work than a real one: Debian's take up to 800,000. */
const MOST_LOOKS = 4_000_000;
/** What going through all call sites costs in such looks. */
const SITES_PER_LOOK = 64;
/** Callers within 2^18 bytes of startup code are taken for startup code. */
const NEAR_SHIFT = 16;
const NEAR = 4;

export function callsOf(kernel: KernelFile, operations: Operations): Calls {
  const bodies = new Map<number, Body>();
  const bodyOf = (start: number): Body => {
    const body = bodies.get(start) ?? readBody(kernel, operations, start, looks);
    bodies.set(start, body);
    return body;
  };
  const looks: Looks = { left: MOST_LOOKS };
  let found: CallSites | undefined;
  const callSites = (): CallSites => (found ??= findCallSites(kernel));
  const home = new Set<number>();
  const isElsewhere = (site: number, target: number): boolean =>
    !home.has(site >> NEAR_SHIFT) && Math.abs((site >> NEAR_SHIFT) - (target >> NEAR_SHIFT)) > NEAR;
  const isKnownElsewhere = (target: number): boolean => {
    looks.left -= callSites().sites.length / SITES_PER_LOOK;
    return isCalledFrom(callSites(), target, (site) => isElsewhere(site, target));
  };
  const common = new Map<number, boolean>();
  const returning = new Map<number, boolean>();
  return {
    addStartup: (start) => {
      for (let i = -NEAR; i <= NEAR; i++) home.add((start >> NEAR_SHIFT) + i);
    },
    gaveUp: () => looks.left <= 0,
    again: () => common.clear(),
    isCommon: (target) => {
      const known =
        common.get(target) ?? (looks.left <= 0 || (leadsToMuch(target, bodyOf) && isKnownElsewhere(target)));
      common.set(target, known);
      return known;
    },
    mayReturn: (target) => {
      const known = returning.get(target) ?? reachesReturn(operations, target, DEEPEST_LOOK, looks);
      returning.set(target, known);
      return known;
    },
  };
}

/** Calls and jumps with a rel32, as bytes alone tell: sites, and the target of each at the same index. */
interface CallSites {
  readonly sites: Int32Array;
  readonly targets: Int32Array;
}

function findCallSites(kernel: KernelFile): CallSites {
  let sites = new Int32Array(1 << 16);
  let targets = new Int32Array(1 << 16);
  let count = 0;
  for (const { start, size, fileOffset } of codeExtents(kernel)) {
    const bytes = kernel.bytes.subarray(fileOffset, fileOffset + size);
    const view = viewOf(bytes);
    // e8 call, e9 jmp: one bit apart.
    for (let i = 0; i + 5 <= size; i++) {
      if (((bytes[i] as number) & 0xfe) !== 0xe8) continue;
      const target = start + i + 5 + view.getInt32(i + 1, true);
      if (target < kernel.start || target >= kernel.end) continue;
      if (count === sites.length) [sites, targets] = [doubled(sites), doubled(targets)];
      sites[count] = start + i;
      targets[count++] = target;
    }
  }
  return { sites: sites.subarray(0, count), targets: targets.subarray(0, count) };
}

function doubled(list: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(2 * list.length);
  longer.set(list);
  return longer;
}

function isCalledFrom({ sites, targets }: CallSites, target: number, wanted: (site: number) => boolean): boolean {
  for (let i = targets.indexOf(target); i >= 0; i = targets.indexOf(target, i + 1)) {
    if (wanted(sites[i] as number)) return true;
  }
  return false;
}

interface Extent {
  readonly start: number;
  readonly size: number;
  readonly fileOffset: number;
}

const SHF_EXECINSTR = 4n;
const SHT_PROGBITS = 1;

/** Sections that hold code; whole segments where there are no section headers. */
function codeExtents(kernel: KernelFile): Extent[] {
  const code = kernel.sections.filter((s) => s.type === SHT_PROGBITS && (s.flags & SHF_EXECINSTR) !== 0n);
  if (code.length === 0)
    return kernel.segments.map(({ start, fileEnd, fileOffset }) => ({ start, size: fileEnd - start, fileOffset }));
  return code.flatMap((section) => {
    const start = Number(BigInt.asIntN(64, section.address));
    const segment = segmentAt(kernel, start);
    const size = segment === undefined ? 0 : Math.min(section.size, segment.fileEnd - start);
    return segment === undefined ? [] : [{ start, size, fileOffset: segment.fileOffset + (start - segment.start) }];
  });
}

interface Looks {
  left: number;
}

interface Body {
  readonly size: number;
  readonly calls: readonly number[];
}

/** The instructions of a function and the functions it calls; at most MUCH_CODE of them. */
function readBody(kernel: KernelFile, operations: Operations, start: number, looks: Looks): Body {
  const seen = new Set<number>();
  const calls = new Set<number>();
  const open = [start];
  for (let at = open.pop(); at !== undefined && seen.size < MUCH_CODE; at = open.pop()) {
    const operation = seen.has(at) ? undefined : operations.at(at);
    if (operation === undefined) continue;
    seen.add(at);
    looks.left--;
    if (operation.flow === FlowControl.Call && operation.target !== undefined) calls.add(operation.target);
    open.push(...successors(operation));
  }
  return { size: seen.size, calls: [...calls].filter((c) => segmentAt(kernel, c) !== undefined) };
}

function successors({ flow, target, next, mnemonic }: Operation): number[] {
  const goesOn =
    flow === FlowControl.Next ||
    flow === FlowControl.Call ||
    flow === FlowControl.IndirectCall ||
    flow === FlowControl.ConditionalBranch ||
    (flow === FlowControl.Interrupt && mnemonic !== Mnemonic.Int3);
  const jumps = flow === FlowControl.ConditionalBranch || flow === FlowControl.UnconditionalBranch;
  return [...(goesOn ? [next] : []), ...(jumps && target !== undefined ? [target] : [])];
}

function leadsToMuch(start: number, bodyOf: (start: number) => Body): boolean {
  const reached = new Set([start]);
  let size = 0;
  for (const one of reached) {
    const body = bodyOf(one);
    size += body.size;
    if (size >= MUCH_CODE) return true;
    for (const call of body.calls) reached.add(call);
  }
  return false;
}

/** Whether a way leads from `start` to a return, past calls of functions that return themselves. */
function reachesReturn(operations: Operations, start: number, depth: number, looks: Looks): boolean {
  if (depth === 0 || looks.left <= 0) return true;
  const seen = new Set<number>();
  const open = [start];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const operation = seen.has(at) ? undefined : operations.at(at);
    if (operation === undefined) continue;
    seen.add(at);
    looks.left--;
    if (seen.size > MUCH_CODE || operation.flow === FlowControl.Return) return true;
    if (operation.flow === FlowControl.IndirectBranch) return true;
    const stops =
      operation.flow === FlowControl.Call &&
      operation.target !== undefined &&
      !reachesReturn(operations, operation.target, depth - 1, looks);
    if (!stops) open.push(...successors(operation));
  }
  return false;
}
