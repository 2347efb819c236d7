// What the guest asked for that the machine does not have: each thing once, in the order it was first asked for.

import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';

export type Unimplemented = {
  readonly what: string;
  /** What was looked for, if it is something that a PC may have and this one has not on purpose. */
  readonly device?: string | undefined;
  count: number;
};

/** Different things that are listed; what a broken guest asks for beyond them is only counted. */
const MOST_LISTED = 1000;
const UNLISTED = 'more that is not listed';

export class UnimplementedList {
  readonly #listed = new Map<string, Unimplemented>();
  /** What chips have said before the snapshot that this list came from: each says it once. */
  readonly #saidBefore = new Set<string>();

  note(what: string, device?: string): void {
    const known = this.#listed.get(what);
    if (known) known.count++;
    else if (what !== UNLISTED && this.#listed.size >= MOST_LISTED) this.note(UNLISTED);
    else this.#listed.set(what, { what, device, count: 1 });
  }

  /** From a chip, which says everything once until it is restored. */
  noteOfChip(what: string): void {
    if (!this.#saidBefore.delete(what)) this.note(what);
  }

  get all(): readonly Unimplemented[] {
    return [...this.#listed.values()];
  }

  save(): Plain {
    return this.all.map((each) => ({ ...each }));
  }

  /** Throws InputError where the list under that name cannot be one. */
  restore(saved: Fields, name: string): void {
    this.#listed.clear();
    this.#saidBefore.clear();
    for (const each of saved.objects(name, MOST_LISTED + 1)) {
      const what = each.text('what', 1000);
      const device = each.has('device') ? each.text('device', 100) : undefined;
      this.#listed.set(what, { what, device, count: each.number('count', 1, Number.MAX_SAFE_INTEGER) });
      this.#saidBefore.add(what);
    }
  }
}
