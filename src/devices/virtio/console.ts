// Console device (virtio 1.2, 5.3) with one port: queue 0 is what the guest receives, queue 1 what it sends. The line is
// infinitely fast. What is typed waits in a small queue of the device until the driver has a buffer for it.

import { adoptState, copyState } from '../device.ts';
import type { Dma } from '../dma.ts';
import type { Handled, VirtioModel } from './model.ts';
import { type Chain, gather, lengthOf, scatter } from './queue.ts';

const RECEIVE = 0;
const FIFO_DEPTH = 64;
/** Bytes sent in one buffer; drivers send a page at most. */
const LONGEST = 64 * 1024;

export const createVirtioConsole = (transmit: (byte: number) => void): VirtioModel => {
  const name = 'virtioConsole';
  const powerOn: { fifo: number[] } = { fifo: [] };
  let s = copyState(powerOn);

  const receiveInto = (chain: Chain, dma: Dma): Handled => {
    const bytes = Uint8Array.from(s.fifo.splice(0, lengthOf(chain.writable)));
    return scatter(dma, chain.writable, 0, bytes) ? bytes.length : 'broken';
  };

  const send = (chain: Chain, dma: Dma): Handled => {
    const length = lengthOf(chain.readable);
    const bytes = length > LONGEST ? undefined : gather(dma, chain.readable, 0, length);
    if (bytes === undefined) return 'broken';
    for (const byte of bytes) transmit(byte);
    return 0;
  };

  return {
    name,
    id: 3,
    classCode: 0x07_8000,
    features: 0,
    queues: 2,
    // cols, rows, max_nr_ports, emerg_wr: none of them means anything without its feature.
    config: [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    ready: (queue) => queue !== RECEIVE || s.fifo.length > 0,
    handle: (queue, chain, dma) => (queue === RECEIVE ? receiveInto(chain, dma) : send(chain, dma)),
    typed: {
      port: 'hvc0',
      queue: RECEIVE,
      receive: (byte) => {
        if (s.fifo.length >= FIFO_DEPTH) return false;
        s.fifo.push(byte & 0xff);
        return true;
      },
      room: () => FIFO_DEPTH - s.fifo.length,
    },
    state: () => copyState(s),
    restore: (state) => {
      s = adoptState(name, s, state);
    },
    resetByGuest: () => undefined,
    reset: () => {
      s = copyState(powerOn);
    },
  };
};
