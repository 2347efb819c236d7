// What makes a virtio device the kind it is: its numbers, its features, and what it does with a buffer. Everything else
// is the transport's (virtioPci.ts).

import type { DeviceState } from '../device.ts';
import type { BulkMemory } from '../device.ts';
import type { Dma } from '../dma.ts';
import type { TypedAt } from '../pci/function.ts';
import type { Chain } from './queue.ts';

/** What became of a buffer: bytes written into it; 'broken' where the driver broke the rules. */
export type Handled = number | 'broken';

export type VirtioModel = {
  readonly name: string;
  /** Virtio device ID (virtio 1.2, chapter 5). */
  readonly id: number;
  /** PCI class code: base class, subclass, programming interface. */
  readonly classCode: number;
  /** Device-specific feature bits 0 to 23. */
  readonly features: number;
  readonly queues: number;
  /** Device-specific configuration; none where empty. The driver can change none of it. */
  readonly config: readonly number[];
  /** Has the device something to do with a buffer of this queue? */
  ready(queue: number): boolean;
  handle(queue: number, chain: Chain, dma: Dma): Handled;
  readonly bulk?: BulkMemory;
  /** What is typed at it comes to a queue of its own. */
  readonly typed?: {
    readonly port: TypedAt['port'];
    readonly queue: number;
    /** Bytes that receive() would take now. */
    room(): number;
    /** A byte arrives. @returns false when there was no room for it */
    receive(byte: number): boolean;
  };
  state(): DeviceState;
  restore(state: DeviceState): void;
  /** The guest resets the device. What is stored on it stays. */
  resetByGuest(): void;
  /** Power-on state. */
  reset(): void;
};
