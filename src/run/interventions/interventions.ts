// The interventions of one run: what they make of its image and machine before it begins, and making the others when their
// time has come. How far each has come is part of the run's state.

import { InputError } from '../../bits/errors.ts';
import type { Fields } from '../../bits/fields.ts';
import type { Plain } from '../../bits/plain.ts';
import { readImage } from '../../boot/boot.ts';
import type { Entry } from '../../boot/protocol.ts';
import type { KernelImage } from '../../image/image.ts';
import { Addresses } from './addresses.ts';
import type { Before, Running } from './kind.ts';
import {
  type Intervention,
  interventionText,
  kindOf,
  MOST_INTERVENTIONS,
  parseIntervention,
  type When,
} from './table.ts';

/** An intervention and what has come of it. */
export type Made = {
  readonly intervention: Intervention;
  /** Instructions retired when it was made; undefined where its time has not come, or where it was refused. */
  readonly at: bigint | undefined;
  /** Why it could not be made when its time came. */
  readonly refused: string | undefined;
};

/** As the run begins: with the image as it is loaded. Throws InputError where an intervention is none, or does not go with it. */
export function beforeRun(
  config: {
    readonly entry?: Entry | undefined;
    readonly cpu: string;
    readonly interventions?: readonly Intervention[] | undefined;
  },
  image: KernelImage,
): Before & { readonly image: KernelImage } {
  const { interventions = [] } = config;
  if (interventions.length > MOST_INTERVENTIONS)
    throw new InputError(`more than ${MOST_INTERVENTIONS} changes are too many`);
  const to: Before = {
    bytes: interventions.some(({ what }) => changesImage(what.kind)) ? new Uint8Array(image.bytes) : image.bytes,
    cpu: config.cpu,
    plainRam: false,
    places: new Map(),
    aliases: [],
    relocated: [],
  };
  for (const { what } of interventions) {
    const kind = kindOf(what.kind);
    if ('before' in kind) kind.before(what, to);
  }
  return { ...to, image: to.bytes === image.bytes ? image : readImage(to.bytes, config.entry) };
}

const changesImage = (kind: string): boolean => kind === 'image' || kind === 'header';

const MOST_REFUSAL = 1000;

type Slot = { readonly intervention: Intervention; at: bigint | undefined; refused: string | undefined };

export class Interventions {
  readonly #run: Running;
  readonly #made: Slot[];
  /** Those that wait for an address, in the order of `Addresses`. */
  readonly #atAddress: readonly number[];
  readonly #addresses: Addresses;
  readonly #changed: () => void;

  /**
   * To be made before anything is decoded. Throws InputError where one is none, whoever made it.
   * @param given of the configuration
   * @param changed the run is no longer what would have followed by itself, or has come nearer to that
   */
  constructor(given: readonly Intervention[], run: Running, changed: () => void) {
    this.#run = run;
    this.#changed = changed;
    this.#made = given.map((one) => ({
      intervention: parseIntervention(interventionText(one)),
      at: undefined,
      refused: undefined,
    }));
    this.#atAddress = [...this.#made.keys()].filter((i) => this.#when(i).at === 'address');
    const places = this.#atAddress.map((i) => (this.#when(i) as Extract<When, { at: 'address' }>).place);
    this.#addresses = new Addresses(run.machine, places, (point, times) => this.#reached(point, times));
  }

  #when(index: number): When {
    return (this.#made[index] as Slot).intervention.when;
  }

  get made(): readonly Made[] {
    return this.#made.map((made) => ({ ...made }));
  }

  /** Makes those at entry. Throws InputError where one cannot be made. */
  enter(): void {
    for (const made of this.#made) {
      if (made.intervention.when.at !== 'entry') continue;
      const { what } = made.intervention;
      const kind = kindOf(what.kind);
      if ('make' in kind) kind.make(what, this.#run);
      made.at = 0n;
    }
  }

  /** The count at which the next one is to be made; undefined where none waits for a count. */
  get nextStop(): bigint | undefined {
    let next: bigint | undefined;
    for (const made of this.#made) {
      const { when } = made.intervention;
      if (when.at !== 'count' || isDone(made)) continue;
      if (next === undefined || when.instructions < next) next = when.instructions;
    }
    return next;
  }

  /** To be called between two instructions, where `nextStop` is not above the count. */
  due(): void {
    const { retired } = this.#run.machine.engine;
    for (const made of this.#made) {
      const { when } = made.intervention;
      if (when.at === 'count' && when.instructions <= retired && !isDone(made)) this.#make(made);
    }
  }

  #reached(point: number, times: number): void {
    const made = this.#made[this.#atAddress[point] as number] as Slot;
    const { when } = made.intervention;
    if (isDone(made) || when.at !== 'address') return;
    this.#changed();
    if (times === when.nth) this.#make(made);
  }

  #make(made: Slot): void {
    const { machine } = this.#run;
    const { what } = made.intervention;
    const kind = kindOf(what.kind);
    try {
      if ('make' in kind) kind.make(what, this.#run);
      made.at = machine.engine.retired;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      made.refused = error.message.slice(0, MOST_REFUSAL);
    }
    this.#changed();
    // An interrupt may be due now, and is to be taken at this instruction, however the run is cut.
    machine.engine.stop();
  }

  save(): Plain {
    return { made: this.#made.map(({ at, refused }) => ({ at, refused })), addresses: this.#addresses.save() };
  }

  /** In place of `enter`, and before anything is decoded again. Throws InputError. */
  restore(saved: Fields): void {
    const all = saved.objects('made', this.#made.length);
    if (all.length !== this.#made.length) throw saved.wrong('made');
    for (const [i, fields] of all.entries()) {
      const made = this.#made[i] as Slot;
      made.at = fields.has('at') ? fields.bigint('at', 0n, BigInt(Number.MAX_SAFE_INTEGER)) : undefined;
      made.refused = fields.has('refused') ? fields.text('refused', MOST_REFUSAL) : undefined;
    }
    this.#addresses.restore(saved, 'addresses');
  }
}

const isDone = ({ at, refused }: Pick<Made, 'at' | 'refused'>): boolean => at !== undefined || refused !== undefined;
