// Bytes of steady ports that the engine's IN takes without leaving for microcode. While somebody wants to be told of every
// access to a port they are kept apart, where the engine does not find them: each read is made, and which of them would not
// have been is still known.

import * as at from '../state/layout.ts';
import type { GuestMemory } from '../state/memory.ts';
import type { CpuState } from '../state/state.ts';

const END = at.KNOWN_PORTS + at.KNOWN_PORT_COUNT * at.KNOWN_PORT_BYTES;

type Known = { readonly port: number; readonly value: number; readonly ns: number };

export class KnownPorts {
  readonly #state: CpuState;
  readonly #memory: GuestMemory;
  /** By place in the engine's table, while ports are shown. */
  #apart: Map<number, Known> | undefined;

  constructor(state: CpuState, memory: GuestMemory) {
    this.#state = state;
    this.#memory = memory;
  }

  /** @param ns that the read takes beside its instruction's */
  set(port: number, value: number, ns: number): void {
    const place = port % at.KNOWN_PORT_COUNT;
    if (this.#apart) this.#apart.set(place, { port, value, ns });
    else this.#put(place, { port, value, ns });
  }

  #put(place: number, { port, value, ns }: Known): void {
    const entry = at.KNOWN_PORTS + at.KNOWN_PORT_BYTES * place;
    this.#state.setU32(entry, port | at.PORT_KNOWN);
    this.#state.setU32(entry + at.PORT_VALUE, value);
    this.#state.setU32(entry + at.PORT_NS, ns + 1);
  }

  forget(): void {
    if (this.#apart) this.#apart.clear();
    else this.#memory.bytes.fill(0, at.KNOWN_PORTS, END);
  }

  show(shown: boolean): void {
    if (shown === (this.#apart !== undefined)) return;
    if (this.#apart) {
      const known = this.#apart;
      this.#apart = undefined;
      for (const [place, each] of known) this.#put(place, each);
    } else {
      const known = this.#inTable();
      this.forget();
      this.#apart = new Map(known);
    }
  }

  #inTable(): [number, Known][] {
    return Array.from({ length: at.KNOWN_PORT_COUNT }, (_, place) => place).flatMap((place) => {
      const entry = at.KNOWN_PORTS + at.KNOWN_PORT_BYTES * place;
      const port = this.#state.u32(entry);
      if (!(port & at.PORT_KNOWN)) return [];
      const [value, ns] = [this.#state.u32(entry + at.PORT_VALUE), this.#state.u32(entry + at.PORT_NS) - 1];
      return [[place, { port: port & ~at.PORT_KNOWN, value, ns }]];
    });
  }

  /** The engine does not look at CPL 3, where microcode looks whether the port may be used. */
  repeats(port: number): boolean {
    return this.#apart?.get(port % at.KNOWN_PORT_COUNT)?.port === port && this.#state.cpl === 0;
  }
}
