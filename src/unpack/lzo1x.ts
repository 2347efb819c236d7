// LZO1X. Linux' Documentation/staging/lzo.rst describes the bytes: an instruction is a byte whose upper bits tell how
// far and how long to copy, and whose last two bits (S) tell how many literals follow. What the lowest instructions (0
// to 15) mean depends on the literals before: see `lowInstruction`.
import { copyBack, damaged, type Output, room } from './output.ts';

/**
 * Instructions below these: literals or near matches; far matches (M4); matches within 16 KiB (M3); short ones (M2).
 */
const M4 = 16;
const M3 = 32;
const M2 = 64;
/** Distances begin beyond what a smaller instruction reaches. */
const M4_BASE = 0x4000;
const AFTER_RUN_BASE = 0x0801;
/** What the first byte means above this: literals, and no instruction. */
const FIRST_LITERALS = 17;
const LONG_RUN = 4;

class Block {
  readonly input: Uint8Array;
  readonly output: Output;
  readonly start: number;
  readonly end: number;
  at = 0;

  constructor(input: Uint8Array, size: number, output: Output) {
    this.input = input;
    this.output = output;
    this.start = output.length;
    this.end = output.length + size;
    room(output, size);
  }

  next(): number {
    if (this.at >= this.input.length) throw damaged(this.output.what, 'a block is cut short');
    return this.input[this.at++]!;
  }

  next16(): number {
    const low = this.next();
    return low | (this.next() << 8);
  }

  /**
   * The length in the `bits` lowest bits of an instruction; 0 there means that it goes on: zeros count 255, the rest is
   * added.
   */
  length(instruction: number, bits: number): number {
    const mask = (1 << bits) - 1;
    if ((instruction & mask) !== 0) return instruction & mask;
    let sum = mask;
    let byte = this.next();
    for (; byte === 0; byte = this.next()) sum += 255;
    return sum + byte;
  }

  literals(size: number): void {
    const { input, output, at } = this;
    const { bytes, length } = output;
    if (size > input.length - at || size > this.end - length) {
      throw damaged(output.what, 'a run of literals is longer than its block');
    }
    for (let i = 0; i < size; i++) bytes[length + i] = input[at + i]!;
    output.length += size;
    this.at += size;
  }

  match(distance: number, size: number): void {
    const { output } = this;
    if (distance > output.length - this.start) throw damaged(output.what, 'a match reaches before its beginning');
    if (size > this.end - output.length) throw damaged(output.what, 'a match is longer than its block');
    copyBack(output.bytes, output.length, distance, size);
    output.length += size;
  }
}

/** Unpacks a block of `size` bytes. */
export function unpackLzo1x(input: Uint8Array, size: number, output: Output): void {
  const block = new Block(input, size, output);
  // How many literals came last: 0 to 3 by S of an instruction, LONG_RUN for 4 or more.
  let before = firstLiterals(block);
  for (;;) {
    const instruction = block.next();
    if (instruction < M4) {
      before = lowInstruction(block, instruction, before);
    } else if (instruction >= M2) {
      before = shortMatch(block, instruction);
    } else {
      const trailing = longMatch(block, instruction);
      if (trailing === undefined) break;
      before = trailing;
    }
  }
  if (block.at !== input.length || output.length !== block.end) throw damaged(output.what, 'a block has another size');
}

function firstLiterals(block: Block): number {
  const first = block.input[0] ?? 0;
  if (first <= FIRST_LITERALS) return 0;
  block.at = 1;
  block.literals(first - FIRST_LITERALS);
  return Math.min(first - FIRST_LITERALS, LONG_RUN);
}

function trailingLiterals(block: Block, count: number): number {
  block.literals(count);
  return count;
}

/**
 * 0000LLLL: after no literals a run of them (3 and more), else a match of 2 bytes, or of 3 farther away after a run.
 */
function lowInstruction(block: Block, instruction: number, before: number): number {
  if (before === 0) {
    block.literals(block.length(instruction, 4) + 3);
    return LONG_RUN;
  }
  const distance = (block.next() << 2) + (instruction >> 2);
  if (before === LONG_RUN) block.match(distance + AFTER_RUN_BASE, 3);
  else block.match(distance + 1, 2);
  return trailingLiterals(block, instruction & 3);
}

/** 1LLDDDSS and 01LDDDSS, with a byte of more distance. */
function shortMatch(block: Block, instruction: number): number {
  const size = (instruction >> 5) + 1;
  block.match((block.next() << 3) + ((instruction >> 2) & 7) + 1, size);
  return trailingLiterals(block, instruction & 3);
}

/** 001LLLLL and 0001DLLL, with two bytes of distance and S. Returns undefined at the end of the block. */
function longMatch(block: Block, instruction: number): number | undefined {
  const isM3 = instruction >= M3;
  const size = block.length(instruction, isM3 ? 5 : 3) + 2;
  const word = block.next16();
  const far = isM3 ? 1 : M4_BASE + ((instruction & 8) << 11);
  const distance = far + (word >> 2);
  if (!isM3 && distance === M4_BASE) return undefined;
  block.match(distance, size);
  return trailingLiterals(block, word & 3);
}
