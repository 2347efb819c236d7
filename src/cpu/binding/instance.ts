// Engine modules, each generated and compiled once for every machine of a process, and instances of them.

import type { BuiltEngine } from './module.ts';
import { VARIANTS, type VariantName } from './variants.ts';

export type EngineExports = {
  run(budget: number): void;
  step(budget: number): void;
  walk(linear: bigint, access: number): bigint;
  loadSlow(linear: bigint, size: number): bigint;
  storeSlow(linear: bigint, size: number, value: bigint): void;
};

const built = new Map<VariantName, BuiltEngine>();
const compiled = new Map<VariantName, WebAssembly.Module>();

/** What `map` has of a variant, made now if it has nothing yet. */
function once<T>(map: Map<VariantName, T>, variant: VariantName, make: () => T): T {
  const known = map.get(variant);
  if (known !== undefined) return known;
  const made = make();
  map.set(variant, made);
  return made;
}

export const builtEngine = (variant: VariantName): BuiltEngine => once(built, variant, VARIANTS[variant]);

/** @param host what generated code calls, by name */
export function engineInstance(variant: VariantName, host: Record<string, WebAssembly.ImportValue>): EngineExports {
  const module = once(compiled, variant, () => new WebAssembly.Module(builtEngine(variant).bytes));
  return new WebAssembly.Instance(module, { host }).exports as unknown as EngineExports;
}
