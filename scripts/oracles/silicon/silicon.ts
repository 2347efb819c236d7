// Talks to the recorder: requests and replies are the structures at the top of recorder.c.
import { spawnSync } from 'node:child_process';
import {
  backgroundFpu,
  BLOCK_BYTES,
  codeAddress,
  type FpuState,
  fpuOfImage,
  fxImage,
  REGIONS,
  type RegionName,
  SEGMENT_NAMES,
  type Segments,
  upperImage,
  uppersOfImage,
} from '../../../test/vectors/layout.ts';
import type { State } from './state.ts';

export interface Observation {
  regs: bigint[];
  rip: bigint;
  rflags: number;
  cr2: bigint;
  trapno: number;
  error: number;
  segments: Segments;
  /** Memory outside the blocks was written. */
  stray: boolean;
  fpu: FpuState;
  blocks: Map<RegionName, Uint8Array>;
}

export interface Request {
  bytes: Uint8Array;
  state: State;
}

const FX_BYTES = 416;
const UPPER_BYTES = 256;
const REQUEST_FX = 168;
const REQUEST_BYTES = REQUEST_FX + FX_BYTES + UPPER_BYTES;
const MAX_CODE = 24;
const BLOCK_HEADER_BYTES = 16;
const REPLY_FX = 176;
const REPLY_BYTES = REPLY_FX + FX_BYTES + UPPER_BYTES;

function encodeRequest({ bytes, state }: Request): Buffer {
  const buffer = Buffer.alloc(REQUEST_BYTES + state.blocks.size * (BLOCK_HEADER_BYTES + BLOCK_BYTES));
  if (bytes.length > MAX_CODE) throw new RangeError(`${bytes.length} bytes of code`);
  buffer.writeUInt8(state.mode, 0);
  buffer.writeUInt8(bytes.length, 1);
  buffer.writeUInt8(state.blocks.size, 2);
  buffer.writeUInt32LE(state.rflags, 4);
  buffer.writeBigUInt64LE(codeAddress(state.mode), 8);
  state.regs.forEach((value, index) => buffer.writeBigUInt64LE(value, 16 + index * 8));
  buffer.set(bytes, 144);
  buffer.set(fxImage(state.fpu ?? backgroundFpu()), REQUEST_FX);
  if (state.fpu?.upper) buffer.set(upperImage(state.fpu.upper), REQUEST_FX + FX_BYTES);
  let at = REQUEST_BYTES;
  for (const [region, block] of state.blocks) {
    buffer.writeBigUInt64LE(REGIONS[region].block, at);
    buffer.writeBigUInt64LE(BigInt(block.length), at + 8);
    buffer.set(block, at + BLOCK_HEADER_BYTES);
    at += BLOCK_HEADER_BYTES + block.length;
  }
  return buffer;
}

function decodeReply(buffer: Buffer, at: number, regions: Iterable<RegionName>): Observation {
  const blocks = new Map<RegionName, Uint8Array>();
  let blockAt = at + REPLY_BYTES;
  for (const region of regions) {
    blocks.set(region, Uint8Array.from(buffer.subarray(blockAt, blockAt + BLOCK_BYTES)));
    blockAt += BLOCK_BYTES;
  }
  const selectors = SEGMENT_NAMES.map((name, index) => [name, buffer.readUInt16LE(at + 160 + index * 2)] as const);
  return {
    regs: Array.from({ length: 16 }, (_, index) => buffer.readBigUInt64LE(at + index * 8)),
    rip: buffer.readBigUInt64LE(at + 128),
    rflags: Number(buffer.readBigUInt64LE(at + 136)),
    cr2: buffer.readBigUInt64LE(at + 144),
    trapno: buffer.readUInt32LE(at + 152),
    error: buffer.readUInt32LE(at + 156),
    segments: Object.fromEntries(selectors) as unknown as Segments,
    stray: buffer.readUInt32LE(at + 172) !== 0,
    fpu: {
      ...fpuOfImage(buffer.subarray(at + REPLY_FX, at + REPLY_FX + FX_BYTES)),
      upper: uppersOfImage(buffer.subarray(at + REPLY_FX + FX_BYTES, at + REPLY_BYTES)),
    },
    blocks,
  };
}

/** Runs the requests on this machine's CPU, in order. Throws if the recorder fails. */
export function observe(recorder: string, requests: readonly Request[]): Observation[] {
  const input = Buffer.concat(requests.map(encodeRequest));
  const { status, signal, stdout, stderr } = spawnSync(recorder, [], { input, maxBuffer: 2 ** 31 - 1 });
  if (status !== 0) throw new Error(`${recorder} ended with ${status ?? signal}: ${stderr.toString()}`);
  let at = 0;
  return requests.map(({ state }) => {
    const reply = decodeReply(stdout, at, state.blocks.keys());
    at += REPLY_BYTES + state.blocks.size * BLOCK_BYTES;
    return reply;
  });
}
