// The engine's module, generated and compiled once for every machine of a process, and instances of it.

import { crc32 } from '../../bits/crc32.ts';
import { allHandlers, hotKeys } from './handlers.ts';
import { type BuiltEngine, buildEngine } from './module.ts';

export type EngineExports = {
  run(budget: number): void;
  step(budget: number): void;
  walk(linear: bigint, access: number): bigint;
  loadSlow(linear: bigint, size: number): bigint;
  storeSlow(linear: bigint, size: number, value: bigint): void;
};

let built: BuiltEngine | undefined;
let compiled: WebAssembly.Module | undefined;

export function builtEngine(): BuiltEngine {
  built ??= buildEngine(allHandlers(), hotKeys);
  return built;
}

/** @param host what generated code calls, by name */
export function engineInstance(host: Record<string, WebAssembly.ImportValue>): EngineExports {
  compiled ??= new WebAssembly.Module(builtEngine().bytes);
  return new WebAssembly.Instance(compiled, { host }).exports as unknown as EngineExports;
}

/** Tells this engine from any other: what it generates says what the state block and its parts are. */
export const engineDigest = (): number => crc32(builtEngine().bytes);
