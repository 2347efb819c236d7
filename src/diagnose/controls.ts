// The negative control of a proof: other wrong values in the culprit's place. The right value heals because it is the right
// one; where a value that is just as wrong heals too, the instruction only steers the boot round its death, as any limit, size or
// count on the way can do.

import type { Case } from './case.ts';
import { type Change, patched, otherConstant } from './repair.ts';
import { bootBeyond, type Tried } from './trials.ts';
import type { Control, Tick } from './types.ts';

/** Another page of the stub, as little corrected as the culprit's own. */
const NEXT_PAGE = 0x1000n;
/** Beyond what is loaded and unpacked, and no round number. */
const FAR = 0x600_0040n;
const OFF_THE_MIDDLE = 0x40n;
/** Instructions that a wrong value gets beyond what the right one took. */
const MORE = 50_000_000n;

/**
 * Boots with other wrong values in the culprits' places.
 * @param far also values that are no link addresses: one far above the right one, and one between the given and the right one
 */
export function* controlsOf(
  dead: Case,
  changes: readonly Change[],
  { tried, far }: { readonly tried: Tried; readonly far: boolean },
): Generator<Tick, Control[]> {
  const room = tried.boot.instructions + tried.boot.instructions / 2n + MORE;
  const controls: Control[] = [];
  for (const { kind, valueOf } of far ? VALUES : VALUES.filter((value) => value.kind === 'same-kind')) {
    const wrong = changes.flatMap((change) => {
      const repair = otherConstant(change.executed, valueOf(change));
      return repair === undefined ? [] : [{ ...change, repair }];
    });
    const [first] = wrong;
    // Of many a few may have no room for it; as they were given they are wrong too.
    if (first === undefined || first.executed !== changes[0]?.executed) continue;
    const doing = `booting with another wrong value at 0x${first.executed.link.toString(16)}`;
    const aim = { dead, next: tried.next, room };
    const { boot } = yield* bootBeyond(patched(dead.config, wrong), 'wrong-value', aim, doing);
    controls.push({ kind, text: first.repair.text, boot });
    if (boot.passed) break;
  }
  return controls;
}

/** The changes with values far from any that is right. Undefined where they do not fit. */
export function farFrom(changes: readonly Change[]): Change[] | undefined {
  const wrong = changes.map((change) => {
    const repair = otherConstant(change.executed, farValue(change));
    return repair && { ...change, repair, bias: change.bias + FAR };
  });
  return wrong.every((change) => change !== undefined) ? wrong : undefined;
}

const farValue = ({ executed, bias }: Change): bigint => executed.reference.constant + bias + FAR;

const VALUES: readonly { readonly kind: Control['kind']; readonly valueOf: (change: Change) => bigint }[] = [
  { kind: 'same-kind', valueOf: ({ executed }) => executed.reference.constant + NEXT_PAGE },
  { kind: 'far', valueOf: farValue },
  { kind: 'far', valueOf: ({ executed, bias }) => executed.reference.constant + bias / 2n + OFF_THE_MIDDLE },
];
