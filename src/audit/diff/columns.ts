// Typed arrays that grow: millions of numbers without an object for each.

type Numbers = Int32Array | Uint32Array | Uint8Array | Float64Array;

export type Column<T extends Numbers> = {
  push(value: number): void;
  /** What was pushed; a view while nothing more is pushed. */
  values(): T;
};

const FIRST = 1024;

function columnOf<T extends Numbers>(make: (length: number) => T): Column<T> {
  let values = make(FIRST);
  let length = 0;
  return {
    push: (value) => {
      if (length === values.length) {
        const larger = make(length * 2);
        larger.set(values);
        values = larger;
      }
      values[length++] = value;
    },
    values: () => values.subarray(0, length) as T,
  };
}

export const int32Column = (): Column<Int32Array> => columnOf((length) => new Int32Array(length));
export const uint32Column = (): Column<Uint32Array> => columnOf((length) => new Uint32Array(length));
export const uint8Column = (): Column<Uint8Array> => columnOf((length) => new Uint8Array(length));
export const float64Column = (): Column<Float64Array> => columnOf((length) => new Float64Array(length));

/** Index of the first of rising `values` that is not below `wanted`. */
export function lowerBound(values: Int32Array | Float64Array, wanted: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] as number) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the last of rising `values` that is not above `wanted`; -1 where all are. */
export function lastNotAbove(values: Int32Array | Float64Array, wanted: number): number {
  const at = lowerBound(values, wanted);
  return values[at] === wanted ? at : at - 1;
}
