// Entropy device (virtio 1.2, 5.4). Its entropy follows from the machine's seed, so that a run can be had again; nothing
// that a guest makes of it is secret.

import { adoptState, copyState } from '../device.ts';
import type { VirtioModel } from './model.ts';
import { lengthOf, scatter } from './queue.ts';

/** Bytes given at a time; the driver asks again for more. */
const MOST = 4096;

const GOLDEN = 0x9e37_79b9_7f4a_7c15n;

/** SplitMix64: from one state to the next, and what it gives. */
const next = (state: bigint): { readonly state: bigint; readonly value: bigint } => {
  const moved = BigInt.asUintN(64, state + GOLDEN);
  let z = BigInt.asUintN(64, (moved ^ (moved >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d0_49bb_1331_11ebn);
  return { state: moved, value: z ^ (z >> 31n) };
};

export const createVirtioRng = (seed: number): VirtioModel => {
  const name = 'virtioRng';
  // Not the stream that RDRAND gives of the same seed.
  const powerOn = { state: BigInt.asUintN(64, BigInt(seed) * GOLDEN + 0xfeed_5eed_0b5e_55edn).toString() };
  let s = copyState(powerOn);

  const draw = (length: number): Uint8Array => {
    const bytes = new Uint8Array(Math.ceil(length / 8) * 8);
    const view = new DataView(bytes.buffer);
    let state = BigInt(s.state);
    for (let at = 0; at < bytes.length; at += 8) {
      const drawn = next(state);
      state = drawn.state;
      view.setBigUint64(at, drawn.value, true);
    }
    s = { state: state.toString() };
    return bytes.subarray(0, length);
  };

  return {
    name,
    id: 4,
    classCode: 0x00_ff00,
    features: 0,
    queues: 1,
    config: [],
    ready: () => true,
    handle: (_queue, chain, dma) => {
      const bytes = draw(Math.min(MOST, lengthOf(chain.writable)));
      return scatter(dma, chain.writable, 0, bytes) ? bytes.length : 'broken';
    },
    state: () => copyState(s),
    restore: (state) => {
      const saved = adoptState(name, s, state);
      s = { state: BigInt.asUintN(64, BigInt(saved.state)).toString() };
    },
    resetByGuest: () => undefined,
    reset: () => {
      s = copyState(powerOn);
    },
  };
};
