// What each kind of intervention has to say of itself: how its data are written and read, and how it is made.

import type { Boot } from '../../boot/protocol.ts';
import type { PlaceName } from '../../boot/layout.ts';
import type { KernelImage } from '../../image/image.ts';
import type { Machine } from '../../machine/machine.ts';
import type { Alias } from './alias.ts';
import type { RelocatedField } from './relocate.ts';

/** What a run is made of, before there is a machine: kinds that change the image or the machine itself change this. */
export type Before = {
  /** The image; a copy, where something changes it. */
  bytes: Uint8Array;
  /** A CPU model's name, with features. */
  cpu: string;
  plainRam: boolean;
  readonly places: Map<PlaceName, number>;
  readonly aliases: Alias[];
  readonly relocated: RelocatedField[];
};

/** A run between two instructions. */
export type Running = { readonly machine: Machine; readonly boot: Boot; readonly image: KernelImage };

export type Kind<W extends { readonly kind: string }> = {
  /** What follows its name in the text of an intervention, for people. */
  readonly form: string;
  readonly help: string;
  /** From what follows its name; all of it is checked here, whoever wrote it. Throws InputError. */
  readonly parse: (text: string) => W;
  /** The reverse of `parse`. */
  readonly text: (what: W) => string;
} & (
  | {
      /** Before there is a machine: at entry only. Throws InputError. */ readonly before: (
        what: W,
        to: Before,
      ) => void;
    }
  | {
      /** Between two instructions. Throws InputError where it cannot be made, with nothing changed. */
      readonly make: (what: W, run: Running) => void;
    }
);
