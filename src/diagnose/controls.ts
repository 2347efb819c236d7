// The negative control of a proof: other wrong values in the culprit's place. The right value heals because it is the right
// one; where a value that is just as wrong heals too, the instruction only steers the boot round its death, as any limit, size or
// count on the way can do.

import type { RunConfig } from '../boot/run.ts';
import type { BzImage } from '../image/bzimage.ts';
import { type Change, patched, wrongOne } from './repair.ts';
import { bootBeyond, type Dead, type Tried } from './trials.ts';
import type { Control, Tick } from './types.ts';

/** Another page of the stub, as little corrected as the culprit's own. */
const NEXT_PAGE = 0x1000n;
/** Beyond what is loaded and unpacked, and no round number. */
const FAR = 0x600_0040n;
const OFF_THE_MIDDLE = 0x40n;
/** Instructions that a wrong value gets beyond what the right one took. */
const MORE = 50_000_000n;

/**
 * Boots with other wrong values in the first culprit's place; the other changes are made as in the repaired boot.
 * @param far also values that are no link addresses: one between the given and the right one, and one far above both
 */
export function* controlsOf(
  config: RunConfig,
  image: BzImage,
  changes: readonly Change[],
  { dead, tried, far }: { readonly dead: Dead; readonly tried: Tried; readonly far: boolean },
): Generator<Tick, Control[]> {
  const [{ executed, bias }, ...others] = changes as readonly [Change, ...Change[]];
  const { constant } = executed.reference;
  const values: (readonly [Control['kind'], bigint])[] = [['same-kind', constant + NEXT_PAGE]];
  if (far) values.push(['far', constant + bias + FAR], ['far', constant + bias / 2n + OFF_THE_MIDDLE]);
  const room = tried.boot.instructions + tried.boot.instructions / 2n + MORE;
  const controls: Control[] = [];
  for (const [kind, value] of values) {
    const repair = wrongOne(executed, value);
    if (repair === undefined) continue;
    const bytes = patched(image, [{ executed, repair, bias }, ...others]);
    const doing = `booting with another wrong value at 0x${executed.link.toString(16)}`;
    const aim = { dead, next: tried.next, room };
    const { boot } = yield* bootBeyond({ ...config, image: bytes }, 'wrong-value', aim, doing);
    controls.push({ kind, text: repair.text, boot });
    if (boot.passed) break;
  }
  return controls;
}
