// The microcode's table of contents: which function does which instruction, and what CPUID has to say for it to exist.
// Instructions whose mnemonic also has forms that belong to the engine (MOV, PUSH, JMP) are listed by code.

import { Code, type Instruction, Mnemonic } from 'iced-x86';
import type { Feature } from '../../x86/features.ts';
import type { Cpu, Fault } from '../state/cpu.ts';
import { isOffered } from '../decode/offered.ts';
import { SEG } from '../state/state.ts';
import { AVX_ROWS } from './avx/rows.ts';
import { clts, lmsw, movFromControl, movToControl, smsw } from './control.ts';
import { cpuid, random, rdpid, rdpmc, rdtsc, rdtscp } from './cpuid.ts';
import { movFromDebug, movToDebug } from './debug.ts';
import * as fpu from './fpuState.ts';
import { bound, int, int1, int3, into, iret } from './interrupts.ts';
import { input, inputString, output, outputString } from './io.ts';
import * as misc from './misc.ts';
import { rdmsr, wrmsr } from './msr.ts';
import { next, ud } from './operands.ts';
import type { Handler, Microresult } from './result.ts';
import {
  loadFarPointer,
  movFromSegment,
  movToSegment,
  POP_SIZES,
  PUSH_SIZES,
  popSegment,
  pushSegment,
} from './segments.ts';
import { APPROXIMATIONS } from './sse/approximation.ts';
import { ARITHMETIC, cmppd, cmpps, cmpsd, cmpss } from './sse/arithmetic.ts';
import { CONVERSIONS } from './sse/convert.ts';
import { HORIZONTAL } from './sse/horizontal.ts';
import * as syscalls from './syscalls.ts';
import * as tables from './tables.ts';
import { callFar, jmpFar, retFar } from './transfers.ts';
import { X87_CODES, X87_MNEMONICS } from './x87/rows.ts';
import * as xstate from './xsave.ts';

type Row = { readonly handler: Handler; readonly feature?: Feature };

const mnemonics = new Map<Mnemonic, Row>();
const codes = new Map<Code, Row>();

const define = (handler: Handler, names: readonly Mnemonic[], feature?: Feature): void => {
  for (const name of names) mnemonics.set(name, feature === undefined ? { handler } : { handler, feature });
};
const defineCodes = (handler: Handler, list: Iterable<Code>): void => {
  for (const code of list) codes.set(code, { handler });
};

defineCodes(movToControl, [Code.Mov_cr_r32, Code.Mov_cr_r64]);
defineCodes(movFromControl, [Code.Mov_r32_cr, Code.Mov_r64_cr]);
defineCodes(movToDebug, [Code.Mov_dr_r32, Code.Mov_dr_r64]);
defineCodes(movFromDebug, [Code.Mov_r32_dr, Code.Mov_r64_dr]);
defineCodes(movToSegment, [Code.Mov_Sreg_rm16, Code.Mov_Sreg_r32m16, Code.Mov_Sreg_r64m16]);
defineCodes(movFromSegment, [Code.Mov_rm16_Sreg, Code.Mov_r32m16_Sreg, Code.Mov_r64m16_Sreg]);
defineCodes(pushSegment, PUSH_SIZES.keys());
defineCodes(popSegment, POP_SIZES.keys());
defineCodes(jmpFar, [Code.Jmp_ptr1616, Code.Jmp_ptr1632, Code.Jmp_m1616, Code.Jmp_m1632, Code.Jmp_m1664]);
defineCodes(callFar, [Code.Call_ptr1616, Code.Call_ptr1632, Code.Call_m1616, Code.Call_m1632, Code.Call_m1664]);

define(retFar, [Mnemonic.Retf]);
define(iret, [Mnemonic.Iret, Mnemonic.Iretd, Mnemonic.Iretq]);
define(int, [Mnemonic.Int]);
define(int3, [Mnemonic.Int3]);
define(into, [Mnemonic.Into]);
define(int1, [Mnemonic.Int1]);
define(bound, [Mnemonic.Bound]);

define(clts, [Mnemonic.Clts]);
define(lmsw, [Mnemonic.Lmsw]);
define(smsw, [Mnemonic.Smsw]);
define(tables.lgdt, [Mnemonic.Lgdt]);
define(tables.lidt, [Mnemonic.Lidt]);
define(tables.sgdt, [Mnemonic.Sgdt]);
define(tables.sidt, [Mnemonic.Sidt]);
define(tables.lldt, [Mnemonic.Lldt]);
define(tables.sldt, [Mnemonic.Sldt]);
define(tables.ltr, [Mnemonic.Ltr]);
define(tables.str, [Mnemonic.Str]);
define(tables.lar, [Mnemonic.Lar]);
define(tables.lsl, [Mnemonic.Lsl]);
define(tables.arpl, [Mnemonic.Arpl]);
define(tables.verify, [Mnemonic.Verr, Mnemonic.Verw]);
define(loadFarPointer, [Mnemonic.Lds, Mnemonic.Les, Mnemonic.Lfs, Mnemonic.Lgs, Mnemonic.Lss]);

define(rdmsr, [Mnemonic.Rdmsr], 'MSR');
define(wrmsr, [Mnemonic.Wrmsr], 'MSR');
define(cpuid, [Mnemonic.Cpuid]);
define(rdtsc, [Mnemonic.Rdtsc], 'TSC');
define(rdtscp, [Mnemonic.Rdtscp], 'RDTSCP');
define(rdpmc, [Mnemonic.Rdpmc]);
define(rdpid, [Mnemonic.Rdpid], 'RDPID');
define(random, [Mnemonic.Rdrand], 'RDRAND');
define(random, [Mnemonic.Rdseed], 'RDSEED');
define(xstate.xgetbv, [Mnemonic.Xgetbv], 'XSAVE');
define(xstate.xsetbv, [Mnemonic.Xsetbv], 'XSAVE');
define(xstate.xsave, [Mnemonic.Xsave, Mnemonic.Xsave64], 'XSAVE');
define(xstate.xrstor, [Mnemonic.Xrstor, Mnemonic.Xrstor64], 'XSAVE');
define(xstate.xsaveopt, [Mnemonic.Xsaveopt, Mnemonic.Xsaveopt64], 'XSAVEOPT');
define(xstate.xsavec, [Mnemonic.Xsavec, Mnemonic.Xsavec64], 'XSAVEC');
define(xstate.xsaves, [Mnemonic.Xsaves, Mnemonic.Xsaves64], 'XSAVES');
define(xstate.xrstors, [Mnemonic.Xrstors, Mnemonic.Xrstors64], 'XSAVES');

define(input, [Mnemonic.In]);
define(output, [Mnemonic.Out]);
define(inputString, [Mnemonic.Insb, Mnemonic.Insw, Mnemonic.Insd]);
define(outputString, [Mnemonic.Outsb, Mnemonic.Outsw, Mnemonic.Outsd]);

define(misc.cli, [Mnemonic.Cli]);
define(misc.sti, [Mnemonic.Sti]);
define(misc.hlt, [Mnemonic.Hlt]);
define(misc.pushf, [Mnemonic.Pushf, Mnemonic.Pushfd, Mnemonic.Pushfq]);
define(misc.popf, [Mnemonic.Popf, Mnemonic.Popfd, Mnemonic.Popfq]);
define(misc.setAlignmentFlag(true), [Mnemonic.Stac], 'SMAP');
define(misc.setAlignmentFlag(false), [Mnemonic.Clac], 'SMAP');
define(misc.invlpg, [Mnemonic.Invlpg]);
define(misc.invpcid, [Mnemonic.Invpcid], 'INVPCID');
// Without its feature WBNOINVD is WBINVD with a prefix that means nothing.
define(misc.flushLine, [Mnemonic.Clflush], 'CLFSH');
define(misc.flushLine, [Mnemonic.Clflushopt], 'CLFLUSHOPT');
define(misc.flushLine, [Mnemonic.Clwb], 'CLWB');
define(misc.cacheControl, [Mnemonic.Invd, Mnemonic.Wbinvd, Mnemonic.Wbnoinvd]);
// RDSSP is a hint NOP on processors without shadow stacks; C libraries rely on it.
define(next, [Mnemonic.Rdsspd, Mnemonic.Rdsspq]);

define(syscalls.syscall, [Mnemonic.Syscall], 'SYSCALL');
define(syscalls.sysret, [Mnemonic.Sysret, Mnemonic.Sysretq], 'SYSCALL');
define(syscalls.sysenter, [Mnemonic.Sysenter], 'SEP');
define(syscalls.sysexit, [Mnemonic.Sysexit, Mnemonic.Sysexitq], 'SEP');
define(syscalls.swapgs, [Mnemonic.Swapgs], 'LM');
define(syscalls.readBase(SEG.FS), [Mnemonic.Rdfsbase], 'FSGSBASE');
define(syscalls.readBase(SEG.GS), [Mnemonic.Rdgsbase], 'FSGSBASE');
define(syscalls.writeBase(SEG.FS), [Mnemonic.Wrfsbase], 'FSGSBASE');
define(syscalls.writeBase(SEG.GS), [Mnemonic.Wrgsbase], 'FSGSBASE');

define(fpu.fxsave, [Mnemonic.Fxsave, Mnemonic.Fxsave64], 'FXSR');
define(fpu.fxrstor, [Mnemonic.Fxrstor, Mnemonic.Fxrstor64], 'FXSR');
define(fpu.fninit, [Mnemonic.Fninit], 'FPU');
define(fpu.fnclex, [Mnemonic.Fnclex], 'FPU');
define(fpu.fnstsw, [Mnemonic.Fnstsw], 'FPU');
define(fpu.fnstcw, [Mnemonic.Fnstcw], 'FPU');
define(fpu.fldcw, [Mnemonic.Fldcw], 'FPU');
define(fpu.fwait, [Mnemonic.Wait], 'FPU');
for (const [handler, names, feature] of X87_MNEMONICS) define(handler, names, feature ?? 'FPU');
for (const [handler, list] of X87_CODES) defineCodes(handler, list);
define(fpu.emms, [Mnemonic.Emms], 'MMX');
define(fpu.ldmxcsr, [Mnemonic.Ldmxcsr], 'SSE');
define(fpu.stmxcsr, [Mnemonic.Stmxcsr], 'SSE');
for (const [mnemonic, handler] of [...ARITHMETIC, ...APPROXIMATIONS, ...CONVERSIONS]) {
  define(handler, [mnemonic], 'SSE2');
}
// offered.ts knows their features.
for (const [mnemonic, handler] of [...HORIZONTAL, ...AVX_ROWS]) define(handler, [mnemonic]);
define(cmpss, [Mnemonic.Cmpss], 'SSE');
define(cmpps, [Mnemonic.Cmpps], 'SSE');
define(cmppd, [Mnemonic.Cmppd], 'SSE2');
// Its mnemonic is also a string instruction's.
defineCodes(cmpsd, [Code.Cmpsd_xmm_xmmm64_imm8]);

const UNDEFINED: ReadonlySet<Mnemonic> = new Set([
  Mnemonic.Ud0,
  Mnemonic.Ud1,
  Mnemonic.Ud2,
  Mnemonic.INVALID,
  // Not advertised by any model, so #UD is right and nothing is missing.
  Mnemonic.Monitor,
  Mnemonic.Mwait,
  Mnemonic.Vmcall,
  Mnemonic.Vmmcall,
  Mnemonic.Umonitor,
  Mnemonic.Umwait,
  Mnemonic.Tpause,
  Mnemonic.Rdpru,
  Mnemonic.Rdpkru,
  Mnemonic.Wrpkru,
]);

const NAMES = Mnemonic as unknown as Readonly<Record<number, string>>;

const rowOf = (insn: Instruction): Row | undefined => codes.get(insn.code) ?? mnemonics.get(insn.mnemonic);

/** Does the microcode do this instruction? */
export const isMicrocoded = (insn: Instruction): boolean => rowOf(insn) !== undefined;

/**
 * Runs one system instruction. RIP is its offset on entry; afterwards it is what Microresult says.
 * An instruction that neither the engine nor the microcode knows is reported as unimplemented and raises #UD.
 */
export const execute = (cpu: Cpu, insn: Instruction): Fault | Microresult => {
  if (!isOffered(insn, cpu.model.features)) return ud('not-offered');
  const row = rowOf(insn);
  if (row === undefined) {
    if (!UNDEFINED.has(insn.mnemonic)) cpu.unimplemented(`instruction ${(NAMES[insn.mnemonic] ?? '?').toLowerCase()}`);
    return ud('undefined-opcode');
  }
  if (row.feature !== undefined && !cpu.model.features.has(row.feature)) return ud('not-offered');
  return row.handler(cpu, insn);
};
