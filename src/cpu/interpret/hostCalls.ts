// What generated code calls: RAM that is touched first, devices, stores to decoded code.

import type { PhysAddr } from '../../bits/address.ts';
import type { AccessBytes } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import type { DeviceBus } from './linearAccess.ts';
import type { GuestMemory } from '../state/memory.ts';
import type { CpuState } from '../state/state.ts';

/** Accesses where nothing answers that a run may make. */
const MOST_EMPTY = 2_000_000;

/** @param codeStored told of the host page when an instruction that may do so has stored to decoded code */
export function hostCalls(
  state: CpuState,
  memory: GuestMemory,
  devices: DeviceBus,
  codeStored: (hostPage: number) => void,
): Record<string, WebAssembly.ImportValue> {
  const address = (): PhysAddr => Number(state.u64(at.SCRATCH)) as PhysAddr;
  return {
    memory: memory.wasm,
    touchChunk: (chunk: number) => memory.touchChunk(chunk),
    deviceRead: (size: number) => {
      if (leavesForDevice(state, devices, address())) return;
      state.setU64(at.SCRATCH, devices.read(address(), size as AccessBytes));
      checkEmpty(state, memory, devices);
    },
    deviceWrite: (size: number) => {
      if (leavesForDevice(state, devices, address())) return;
      devices.write(address(), size as AccessBytes, state.u64(at.SCRATCH + 8));
      checkEmpty(state, memory, devices);
    },
    codeStore: (host: number) => codeStored(host >>> 12),
  };
}

/** Within a stretch nobody knows the count: the instruction is left before it did anything, and stepped. */
function leavesForDevice(state: CpuState, devices: DeviceBus, address: PhysAddr): boolean {
  if (state.u32(at.WATCH_BYPASS) === at.BYPASS.ALL || !devices.needsTime?.(address)) return false;
  state.setU32(at.FAULT_VECTOR, at.FAULT_DEVICE);
  return true;
}

/** A wild sweep through addresses where nothing answers is slow and leads nowhere: it ends as one through RAM does. */
function checkEmpty(state: CpuState, memory: GuestMemory, devices: DeviceBus): void {
  if (devices.emptyAccesses < MOST_EMPTY) return;
  memory.full = true;
  state.setU32(at.FAULT_VECTOR, at.FAULT_MEMORY_FULL);
}
