// Tells startup code from the rest of the kernel. Nothing in a stripped file does: a startup function that can panic is
// one call away from printk, locks, and in the end everything. But what runs only from the 1:1 map is called from a few
// places there, and what the whole kernel calls (panic, __warn_printk, __stack_chk_fail) from hundreds; small helpers that
// both call (memcpy, thunks) lead to little else. So the rest of the kernel begins where a function called from many
// places leads to much code.
import { FlowControl, Mnemonic } from 'iced-x86';
import { viewOf } from '../../bits/cursor.ts';
import { type KernelFile, type KernelSegment, segmentAt } from './layout.ts';
import type { Operation, Operations } from './operation.ts';

export interface Calls {
  /** Whether a function belongs to the rest of the kernel, and is not followed. */
  isCommon(target: number): boolean;
  /** Whether a function may return, as far as its own jumps and those of its callees a few calls down tell. */
  mayReturn(target: number): boolean;
}

/** Startup functions are called from a handful of places, printk from thousands. */
const MANY_PLACES = 16;
/** A function that both worlds share leads to less than this; all startup code is some 1,200 to 3,500 instructions. */
const MUCH_CODE = 2000;
const DEEPEST_LOOK = 4;

export function callsOf(kernel: KernelFile, operations: Operations): Calls {
  const places = countPlaces(kernel);
  const bodies = new Map<number, Body>();
  const bodyOf = (start: number): Body => {
    const body = bodies.get(start) ?? readBody(kernel, operations, start);
    bodies.set(start, body);
    return body;
  };
  const common = new Map<number, boolean>();
  const returning = new Map<number, boolean>();
  return {
    isCommon: (target) => {
      if (places(target) < MANY_PLACES) return false;
      const known = common.get(target) ?? leadsToMuch(target, bodyOf);
      common.set(target, known);
      return known;
    },
    mayReturn: (target) => {
      const known = returning.get(target) ?? reachesReturn(operations, target, DEEPEST_LOOK);
      returning.set(target, known);
      return known;
    },
  };
}

/** How often each 16 bytes of code (functions are aligned to them) are the target of a call or jump with a rel32. */
function countPlaces(kernel: KernelFile): (target: number) => number {
  const counts = kernel.segments.map((s) => new Uint8Array(Math.ceil((s.fileEnd - s.start) / 16)));
  const index = (segment: KernelSegment | undefined): Uint8Array | undefined =>
    segment === undefined ? undefined : counts[kernel.segments.indexOf(segment)];
  for (const { start, size, fileOffset } of codeExtents(kernel)) {
    const bytes = kernel.bytes.subarray(fileOffset, fileOffset + size);
    const view = viewOf(bytes);
    for (let i = 0; i + 5 <= size; i++) {
      // e8 call, e9 jmp: one bit apart.
      if (((bytes[i] as number) & 0xfe) !== 0xe8) continue;
      const target = start + i + 5 + view.getInt32(i + 1, true);
      const segment = segmentAt(kernel, target);
      const list = index(segment);
      if (list === undefined || segment === undefined) continue;
      const at = (target - segment.start) >> 4;
      if ((list[at] as number) < 0xff) list[at] = (list[at] as number) + 1;
    }
  }
  return (target) => {
    const segment = segmentAt(kernel, target);
    return segment === undefined ? 0 : (index(segment)?.[(target - segment.start) >> 4] ?? 0);
  };
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

interface Body {
  readonly size: number;
  readonly calls: readonly number[];
}

/** The instructions of a function and the functions it calls; at most MUCH_CODE of them. */
function readBody(kernel: KernelFile, operations: Operations, start: number): Body {
  const seen = new Set<number>();
  const calls = new Set<number>();
  const open = [start];
  for (let at = open.pop(); at !== undefined && seen.size < MUCH_CODE; at = open.pop()) {
    const operation = seen.has(at) ? undefined : operations.at(at);
    if (operation === undefined) continue;
    seen.add(at);
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
function reachesReturn(operations: Operations, start: number, depth: number): boolean {
  if (depth === 0) return true;
  const seen = new Set<number>();
  const open = [start];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const operation = seen.has(at) ? undefined : operations.at(at);
    if (operation === undefined) continue;
    seen.add(at);
    if (seen.size > MUCH_CODE || operation.flow === FlowControl.Return) return true;
    if (operation.flow === FlowControl.IndirectBranch) return true;
    const stops =
      operation.flow === FlowControl.Call &&
      operation.target !== undefined &&
      !reachesReturn(operations, operation.target, depth - 1);
    if (!stops) open.push(...successors(operation));
  }
  return false;
}
