// The check that failed, for exceptions that generated code raised: that code says only the vector, so that it stays small, and
// the instruction is judged once more from the state as it was. Nothing is changed.

import { EncodingKind, FlowControl, type Instruction, MemorySizeExt, Mnemonic, OpKind } from 'iced-x86';
import { CR0_EM, CR0_TS, CR4_OSFXSR } from '../../x86/control.ts';
import { GPR } from '../../x86/registers.ts';
import type { ReasonId } from '../../x86/reasons.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type EntryReader, pageFaultReason, walkOf } from '../mmu/walk.ts';
import { isCanonical, isProtected, isVm86, MASK32 } from '../microcode/modes.ts';
import { linearAddress, memoryPlace, readOperand } from '../microcode/operands.ts';
import type { FaultLink } from '../microcode/delivery.ts';
import { type Cpu, isFault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { SEG } from '../state/state.ts';

export type Raised = {
  readonly vector: number;
  readonly error?: number;
  /** Linear address, of a page fault. */
  readonly address?: bigint;
};

/**
 * A chain that ended in a triple fault, each of its exceptions with the check that failed. The state is still the one that the
 * first of them met, since none was delivered.
 */
export function withReasons(
  cpu: Cpu,
  chain: readonly FaultLink[],
  insn: Instruction | undefined,
  read: EntryReader,
): FaultLink[] {
  const asRaised = ({ vector, error, cr2 }: Omit<FaultLink, 'rip'>): Raised => ({
    vector,
    ...(error === undefined ? {} : { error }),
    ...(cr2 === undefined ? {} : { address: cr2 }),
  });
  const named = <T extends Omit<FaultLink, 'rip'>>(link: T, first: boolean): T =>
    link.check === 'by-instruction'
      ? { ...link, check: reasonOf(cpu, first ? insn : undefined, asRaised(link), read) }
      : link;
  return chain.map((link, n) => ({
    ...named(link, n === 0),
    ...(link.met === undefined ? {} : { met: named(link.met, false) }),
  }));
}

/** Why the instruction at RIP raised this. @param insn decoded at RIP; undefined where it cannot be fetched */
function reasonOf(cpu: Cpu, insn: Instruction | undefined, raised: Raised, read: EntryReader): ReasonId {
  if (raised.vector === VECTOR.PF) return reasonOfPageFault(cpu, raised, read);
  return (insn && BY_VECTOR.get(raised.vector)?.(cpu, insn)) ?? 'by-instruction';
}

function reasonOfPageFault({ state }: Cpu, { error = 0, address = 0n }: Raised, read: EntryReader): ReasonId {
  const walk = walkOf(state, address, read);
  return walk === undefined ? 'by-instruction' : pageFaultReason(state, walk, error);
}

type Judge = (cpu: Cpu, insn: Instruction) => ReasonId | undefined;

const divideError: Judge = (cpu, insn) => {
  if (insn.mnemonic === Mnemonic.Aam) return 'aam-zero';
  const divisor = readOperand(cpu, insn, 0, MemorySizeExt.size(insn.memorySize) as 1 | 2 | 4 | 8);
  return divisor === 0n ? 'divide-by-zero' : 'divide-overflow';
};

const has = (cpu: Cpu, register: number, bit: bigint): boolean => (cpu.state.u64(register) & bit) !== 0n;

const invalidOpcode: Judge = (cpu, insn) => {
  if (insn.encoding === EncodingKind.VEX) {
    return !isProtected(cpu.state) || isVm86(cpu.state) ? 'vex-needs-protected-mode' : 'avx-not-enabled';
  }
  if (has(cpu, at.CR0, CR0_EM)) return 'x87-emulated';
  return has(cpu, at.CR4, CR4_OSFXSR) ? undefined : 'osfxsr-not-enabled';
};

const deviceNotAvailable: Judge = (cpu) => (has(cpu, at.CR0, CR0_TS) ? 'task-switched' : 'x87-emulated');

const BRANCHES: ReadonlySet<FlowControl> = new Set([
  FlowControl.UnconditionalBranch,
  FlowControl.IndirectBranch,
  FlowControl.ConditionalBranch,
  FlowControl.Return,
  FlowControl.Call,
  FlowControl.IndirectCall,
]);

const generalProtection: Judge = (cpu, insn) => {
  const memory = memoryReason(cpu, insn);
  if (memory !== undefined) return memory;
  if (!BRANCHES.has(insn.flowControl)) return undefined;
  return cpu.state.mode64 ? 'branch-target-not-canonical' : 'branch-target-beyond-limit';
};

/** What is wrong with the memory operand: outside its segment, not canonical, or not aligned. */
function memoryReason(cpu: Cpu, insn: Instruction): ReasonId | undefined {
  if (!hasMemory(insn)) return undefined;
  const { segment, offset } = memoryPlace(cpu, insn);
  const bytes = Math.max(1, MemorySizeExt.size(insn.memorySize));
  const linear = linearAddress(cpu, segment, offset, bytes, false);
  if (isFault(linear)) return linear.reason;
  if (insn.mnemonic === Mnemonic.Cmpxchg16b) return linear & 15n ? 'cmpxchg16b-misaligned' : undefined;
  return bytes >= 16 && linear & BigInt(bytes - 1) ? 'vector-misaligned' : undefined;
}

const hasMemory = (insn: Instruction): boolean => {
  for (let n = 0; n < insn.opCount; n++) if (insn.opKind(n) === OpKind.Memory) return true;
  return false;
};

const stackFault: Judge = (cpu, insn) => {
  const memory = memoryReason(cpu, insn);
  if (memory !== undefined) return memory;
  const sp = cpu.state.reg(GPR.RSP);
  if (cpu.state.mode64) return isCanonical(cpu.state, sp) ? undefined : 'stack-address-not-canonical';
  return sp <= MASK32 && cpu.state.segment(SEG.SS).limit < 0xffff_ffff ? 'stack-limit' : undefined;
};

const BY_VECTOR: ReadonlyMap<number, Judge> = new Map([
  [VECTOR.DE, divideError],
  [VECTOR.UD, invalidOpcode],
  [VECTOR.NM, deviceNotAvailable],
  [VECTOR.SS, stackFault],
  [VECTOR.GP, generalProtection],
  [VECTOR.MF, () => 'x87-pending' as const],
  [VECTOR.AC, () => 'alignment-check' as const],
]);
