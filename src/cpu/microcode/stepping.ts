// Debug exceptions around an instruction: breakpoints and single-step (SDM 3B 18.3.1). While `debugActive`, the engine
// runs one instruction at a time, with `beginStep` before it and `endStep` behind it.

import { Code, FlowControl, type Instruction, Mnemonic } from 'iced-x86';
import { DEBUGCTL_BTF, DR6_BS } from '../../x86/control.ts';
import { FLAGS } from '../../x86/flags.ts';
import { MSR_IA32_DEBUGCTL, msrSlot } from '../../x86/msr.ts';
import { GPR } from '../../x86/registers.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type Cpu, type Fault, isFault, fault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { breakpointsEnabled, dataHits, instructionHits } from './breakpoints.ts';
import { setMasked, stringAddressMask } from './io.ts';
import { nextRip } from './operands.ts';
import { heldTraps, holdTraps, inStackShadow } from './shadow.ts';

const flag = (state: CpuState, mask: number): boolean => (state.u32(at.FLAGS_REST) & mask) !== 0;

/** Is there anything to look for between instructions: RFLAGS.TF, or a breakpoint enabled in DR7? */
export const debugActive = (state: CpuState): boolean => flag(state, FLAGS.TF) || breakpointsEnabled(state);

/** A repeated string instruction of which one iteration is run at a time: each is followed by its traps. */
type Repeat = { readonly count: bigint; readonly mask: bigint; readonly endsAt: boolean | undefined };

/** What was seen before the instruction. */
export type DebugStep = {
  readonly rip: bigint;
  readonly trapFlag: boolean;
  readonly resumeFlag: boolean;
  readonly mnemonic: Mnemonic;
  /** Offset of the instruction behind it, and whether it may go elsewhere. */
  readonly next: bigint;
  readonly flow: FlowControl;
  /** DR6 bits of data and port breakpoints. */
  readonly hits: bigint;
  readonly repeat: Repeat | undefined;
};

const NOTHING = { mnemonic: Mnemonic.INVALID, next: 0n, flow: FlowControl.Next, hits: 0n, repeat: undefined };

const debugFault = (dr6: bigint): Fault => ({ ...fault('debug-trap', VECTOR.DB), trap: true, dr6 });

const COMPARES: ReadonlySet<Mnemonic> = new Set([
  ...[Mnemonic.Cmpsb, Mnemonic.Cmpsw, Mnemonic.Cmpsd, Mnemonic.Cmpsq],
  ...[Mnemonic.Scasb, Mnemonic.Scasw, Mnemonic.Scasd, Mnemonic.Scasq],
]);

/** Sets the count to one where there is more to do. */
const firstIteration = ({ state }: Cpu, insn: Instruction): Repeat | undefined => {
  if (!insn.hasRepPrefix && !insn.hasRepnePrefix) return undefined;
  const mask = stringAddressMask(insn);
  const count = state.reg(GPR.RCX);
  if (mask === undefined || (count & mask) < 2n) return undefined;
  state.setReg(GPR.RCX, 1n);
  // REPE ends where ZF is 0, REPNE where it is 1.
  return { count, mask, endsAt: COMPARES.has(insn.mnemonic) ? insn.hasRepnePrefix : undefined };
};

/**
 * To be called before an instruction runs.
 * @param insn the one at RIP; a fault where it cannot be fetched
 * @returns #DB where a breakpoint waits for this instruction: RIP stays, and RF is pushed as it is
 */
export const beginStep = (cpu: Cpu, fetch: () => Instruction | Fault): DebugStep | Fault => {
  const { state } = cpu;
  const resumeFlag = flag(state, FLAGS.RF);
  const waited = resumeFlag || inStackShadow(state) ? 0n : instructionHits(cpu);
  if (waited) return debugFault(waited);
  // RF holds for one instruction.
  state.setU32(at.FLAGS_REST, state.u32(at.FLAGS_REST) & ~FLAGS.RF);
  const seen = { rip: state.rip, trapFlag: flag(state, FLAGS.TF), resumeFlag };
  const insn = fetch();
  if (isFault(insn)) return { ...seen, ...NOTHING };
  const hits = insn.code === Code.INVALID ? 0n : dataHits(cpu, insn);
  const step: DebugStep = {
    ...seen,
    mnemonic: insn.mnemonic,
    next: nextRip(cpu, insn),
    flow: insn.flowControl,
    hits: hits | heldTraps(state),
    repeat: firstIteration(cpu, insn),
  };
  insn.free();
  return step;
};

const DEBUGCTL = at.msrAddress(msrSlot(MSR_IA32_DEBUGCTL));

const branched = (state: CpuState, { flow, next }: DebugStep): boolean =>
  flow !== FlowControl.Next && (flow !== FlowControl.ConditionalBranch || state.rip !== next);

const DELIVERING: ReadonlySet<Mnemonic> = new Set([Mnemonic.Int, Mnemonic.Int1, Mnemonic.Int3, Mnemonic.Into]);
const LOADING: ReadonlySet<Mnemonic> = new Set([Mnemonic.Syscall, Mnemonic.Sysret, Mnemonic.Sysretq]);

/**
 * TF counts as it was when the instruction began, so POPF and IRET that set it trap one instruction later. A delivered
 * software interrupt cleared it and does not trap; SYSCALL and SYSRET have had theirs (trapsAtOnce).
 */
const singleSteps = (state: CpuState, step: DebugStep): boolean => {
  const { trapFlag, mnemonic } = step;
  if (!trapFlag || LOADING.has(mnemonic)) return false;
  if (DELIVERING.has(mnemonic) && !flag(state, FLAGS.TF)) return false;
  return (state.u64(DEBUGCTL) & DEBUGCTL_BTF) === 0n || branched(state, step);
};

const setResumeFlag = (state: CpuState): void => state.setU32(at.FLAGS_REST, state.u32(at.FLAGS_REST) | FLAGS.RF);

/** Puts the count right behind one iteration, and RIP back unless it was the last. */
const endIteration = (cpu: Cpu, step: DebugStep, { count, mask, endsAt }: Repeat, retired: boolean): void => {
  const { state } = cpu;
  if (!retired) {
    state.setReg(GPR.RCX, count);
    return;
  }
  state.setReg(GPR.RCX, count);
  setMasked(cpu, GPR.RCX, count - 1n, mask);
  const zero = (state.rflags & FLAGS.ZF) !== 0;
  if (endsAt === zero) return;
  state.rip = step.rip;
  if (step.resumeFlag) setResumeFlag(state);
};

/**
 * To be called behind the instruction.
 * @param retired false where it faulted or nothing was run
 * @returns the #DB that is due now
 */
export const endStep = (cpu: Cpu, step: DebugStep, retired: boolean): Fault | undefined => {
  if (step.repeat) endIteration(cpu, step, step.repeat, retired);
  if (!retired) {
    // Stopped before it ran: RF is still to come. (What faulted is in its handler by now.)
    if (step.resumeFlag && cpu.state.rip === step.rip) setResumeFlag(cpu.state);
    return undefined;
  }
  if (inStackShadow(cpu.state)) {
    holdTraps(cpu.state, step.hits);
    return undefined;
  }
  // INT1 has told of what was held back.
  const hits = step.mnemonic === Mnemonic.Int1 ? 0n : step.hits;
  const dr6 = hits | (singleSteps(cpu.state, step) ? DR6_BS : 0n);
  return dr6 ? debugFault(dr6) : undefined;
};

/** The single-step trap of SYSCALL and SYSRET goes by the flags they loaded, whatever TF was before. */
export const trapsAtOnce = (state: CpuState, insn: Instruction): Fault | undefined =>
  flag(state, FLAGS.TF) && LOADING.has(insn.mnemonic) ? debugFault(DR6_BS) : undefined;
