/** Where each code's range of values begins, when a code is followed by that many extra bits and there are no gaps. */
export function basesOf(first: number, extraBits: readonly number[]): number[] {
  let next = first;
  return extraBits.map((bits) => {
    const base = next;
    next += 2 ** bits;
    return base;
  });
}
