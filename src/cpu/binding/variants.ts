// The engines there are: all run the same records by the same semantics, so a run is the same in each, to the state hash,
// and may be saved in one and go on in another. They differ in how their module is built.

import { isDerived } from './fuse.ts';
import { allHandlers, hotKeys } from './handlers.ts';
import { type BuiltEngine, buildEngine } from './module.ts';

/** Each is built once a process, when the first machine asks for it (instance.ts). */
export const VARIANTS = {
  /** What runs unless another is asked for: hot handlers inlined, records fused. */
  plain: () => buildEngine(allHandlers(), hotKeys),
  /** Nothing fused: each record has the handler of its own instruction, with all its flags and its index. */
  unfused: () =>
    buildEngine(
      allHandlers(),
      hotKeys.filter((key) => !isDerived(key)),
    ),
  /** Nothing inlined either: one handler after the other, counted one by one. What the others are held against. */
  exact: () => buildEngine(allHandlers(), [], true),
} as const satisfies Record<string, () => BuiltEngine>;

export type VariantName = keyof typeof VARIANTS;

export const VARIANT_NAMES = Object.keys(VARIANTS) as readonly VariantName[];
