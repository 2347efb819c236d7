// Who is told of what, in the order in which they came. An observer is a plain object of callbacks, each of which may be
// left out; what there is to be told of is the type that the owner of a list gives it.
// One that is added while an event is told of is told from the next one on; one that is removed is told of nothing more.

type Told<F> = NonNullable<F> extends (...args: infer A) => unknown ? A : never;

export class Entry<O extends object> {
  readonly observer: O;
  /**
   * It is told behind all that are not: it makes something of the event that it tells of itself, and whoever hears of that
   * has heard of the event.
   */
  readonly last: boolean;
  /** The callbacks that it had when it came. */
  readonly kinds: ReadonlySet<PropertyKey>;
  gone = false;

  constructor(observer: O, last = false) {
    this.observer = observer;
    this.last = last;
    this.kinds = new Set(Object.entries(observer).flatMap(([kind, told]) => (told === undefined ? [] : [kind])));
  }
}

/** @typeParam E what is kept of each */
export class Observers<O extends object, E extends Entry<O> = Entry<O>> {
  #all: readonly E[] = [];
  /** By callback, those that have it; replaced, never changed, since one may be being gone through. */
  #having = new Map<PropertyKey, readonly E[]>();

  add(entry: E): E {
    const behind = entry.last ? -1 : this.#all.findIndex((each) => each.last);
    const place = behind < 0 ? this.#all.length : behind;
    this.#set([...this.#all.slice(0, place), entry, ...this.#all.slice(place)]);
    return entry;
  }

  /** Nothing happens where it was removed before. */
  remove(entry: E): void {
    entry.gone = true;
    this.#set(this.#all.filter((each) => each !== entry));
  }

  #set(all: readonly E[]): void {
    this.#all = all;
    const kinds = new Set(all.flatMap((entry) => [...entry.kinds]));
    this.#having = new Map([...kinds].map((kind) => [kind, all.filter((entry) => entry.kinds.has(kind))]));
  }

  /** Whether anybody is to be told of that. */
  has(kind: keyof O): boolean {
    return (this.#having.get(kind)?.length ?? 0) > 0;
  }

  /** Tells all that want to know. @param whom if not all of these */
  tell<K extends keyof O>(kind: K, args: Told<O[K]>, whom?: (entry: E) => boolean): void {
    const having = this.#having.get(kind);
    if (having === undefined) return;
    for (const entry of having) {
      if (entry.gone || whom?.(entry) === false) continue;
      (entry.observer[kind] as (...all: Told<O[K]>) => unknown)(...args);
    }
  }
}
