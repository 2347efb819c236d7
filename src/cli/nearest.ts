// What somebody may have meant who wrote a word that is not known.

/** A word this far off is no slip of the fingers any more: one letter in three, and one in a short word. */
const mostSlips = (word: string): number => Math.max(1, Math.floor(word.replace(/^-+/, '').length / 3));
/** Longer words are nobody's option. */
const LONGEST = 64;

/** Letters put in, left out, changed, or two neighbours changed over, that lead from one word to the other. */
export function slips(from: string, to: string): number {
  let before: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1];
      const changedOver = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      row[j] = Math.min(
        (last[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (last[j - 1] as number) + (same ? 0 : 1),
        changedOver ? (before[j - 2] as number) + 1 : Infinity,
      );
    }
    [before, last] = [last, row];
  }
  return last[to.length] as number;
}

/** The known word that is nearest, or that begins so and alone does; undefined where none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (word.length > LONGEST) return undefined;
  const bare = word.replace(/^-+/, '').toLowerCase();
  const rated = known.map((name) => ({ name, off: slips(bare, name.replace(/^-+/, '')) }));
  const best = rated.reduce((a, b) => (b.off < a.off ? b : a), { name: '', off: Infinity });
  if (best.off <= mostSlips(word)) return best.name;
  const begun = known.filter((name) => bare.length > 1 && name.replace(/^-+/, '').startsWith(bare));
  return begun.length === 1 ? begun[0] : undefined;
}

/** "; did you mean 'x'?" for the end of a message, or nothing. */
export function meant(word: string, known: readonly string[]): string {
  const name = nearest(word, known);
  return name === undefined ? '' : `; did you mean ${name}?`;
}
