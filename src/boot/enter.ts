// The processor as an image's first instruction finds it.

import * as at from '../cpu/state/layout.ts';
import { SEG, type SegmentIndex } from '../cpu/state/state.ts';
import type { Machine } from '../machine/machine.ts';
import type { EntryState, RegisterName } from './entry-state.ts';
import { type FirmwarePart, setMemoryTypes, setUpChips } from './firmware.ts';

const SEGMENT_NAMES: readonly [keyof EntryState['segments'], SegmentIndex][] = [
  ['es', SEG.ES],
  ['cs', SEG.CS],
  ['ss', SEG.SS],
  ['ds', SEG.DS],
  ['fs', SEG.FS],
  ['gs', SEG.GS],
];
const REGISTERS: readonly RegisterName[] = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(
  ' ',
) as RegisterName[];

/** Puts the processor into the state that the boot protocol promises, with what firmware has done to it and to chips. */
export function enter(machine: Machine, entry: EntryState, firmware: readonly FirmwarePart[]): void {
  const { state } = machine.engine;
  REGISTERS.forEach((name, index) => {
    state.setReg(index, entry.registers[name] ?? 0n);
  });
  state.rip = entry.rip;
  state.rflags = Number(entry.rflags);
  state.setU64(at.CR0, entry.cr0);
  state.setU64(at.CR3, entry.cr3);
  state.setU64(at.CR4, entry.cr4);
  state.setU64(at.EFER, entry.efer);
  state.setTable(at.GDTR, { base: entry.gdtBase, limit: entry.gdtLimit });
  state.setTable(at.IDTR, { base: entry.idtBase, limit: entry.idtLimit });
  if (entry.tr) state.setSegment(SEG.TR, entry.tr);
  for (const [name, index] of SEGMENT_NAMES) state.setSegment(index, entry.segments[name]);
  state.cpl = 0;
  if (firmware.includes('memory-types')) setMemoryTypes(state);
  if (firmware.includes('chips')) setUpChips(machine);
  machine.engine.modeChanged();
}
