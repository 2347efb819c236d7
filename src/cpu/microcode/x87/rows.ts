// The x87 instructions and what does them; those that only touch control and status words are in ../fpuState.ts.

import { Code, Mnemonic } from 'iced-x86';
import type { Feature } from '../../../x86/features.ts';
import type { Handler } from '../result.ts';
import * as arithmetic from './arithmetic.ts';
import * as compare from './compare.ts';
import * as environment from './environment.ts';
import * as remainder from './remainder.ts';
import * as transcendental from './transcendental.ts';
import * as transfer from './transfer.ts';

/** By mnemonic: all forms of it. */
export const X87_MNEMONICS: readonly (readonly [Handler, readonly Mnemonic[], Feature?])[] = [
  [arithmetic.fadd, [Mnemonic.Fadd, Mnemonic.Fiadd]],
  [arithmetic.faddp, [Mnemonic.Faddp]],
  [arithmetic.fsub, [Mnemonic.Fsub, Mnemonic.Fisub]],
  [arithmetic.fsubp, [Mnemonic.Fsubp]],
  [arithmetic.fsubr, [Mnemonic.Fsubr, Mnemonic.Fisubr]],
  [arithmetic.fsubrp, [Mnemonic.Fsubrp]],
  [arithmetic.fmul, [Mnemonic.Fmul, Mnemonic.Fimul]],
  [arithmetic.fmulp, [Mnemonic.Fmulp]],
  [arithmetic.fdiv, [Mnemonic.Fdiv, Mnemonic.Fidiv]],
  [arithmetic.fdivp, [Mnemonic.Fdivp]],
  [arithmetic.fdivr, [Mnemonic.Fdivr, Mnemonic.Fidivr]],
  [arithmetic.fdivrp, [Mnemonic.Fdivrp]],
  [arithmetic.fsqrt, [Mnemonic.Fsqrt]],
  [arithmetic.frndint, [Mnemonic.Frndint]],
  [arithmetic.fabs, [Mnemonic.Fabs]],
  [arithmetic.fchs, [Mnemonic.Fchs]],

  [compare.fcom, [Mnemonic.Fcom, Mnemonic.Ficom]],
  [compare.fcomp, [Mnemonic.Fcomp, Mnemonic.Ficomp]],
  [compare.fcompp, [Mnemonic.Fcompp]],
  [compare.fucom, [Mnemonic.Fucom]],
  [compare.fucomp, [Mnemonic.Fucomp]],
  [compare.fucompp, [Mnemonic.Fucompp]],
  [compare.ftst, [Mnemonic.Ftst]],
  [compare.fxam, [Mnemonic.Fxam]],
  [compare.fcomi, [Mnemonic.Fcomi], 'CMOV'],
  [compare.fcomip, [Mnemonic.Fcomip], 'CMOV'],
  [compare.fucomi, [Mnemonic.Fucomi], 'CMOV'],
  [compare.fucomip, [Mnemonic.Fucomip], 'CMOV'],

  [remainder.fprem, [Mnemonic.Fprem]],
  [remainder.fprem1, [Mnemonic.Fprem1]],
  [remainder.fscale, [Mnemonic.Fscale]],
  [remainder.fxtract, [Mnemonic.Fxtract]],

  [transcendental.f2xm1, [Mnemonic.F2xm1]],
  [transcendental.fyl2x, [Mnemonic.Fyl2x]],
  [transcendental.fyl2xp1, [Mnemonic.Fyl2xp1]],
  [transcendental.fsin, [Mnemonic.Fsin]],
  [transcendental.fcos, [Mnemonic.Fcos]],
  [transcendental.fsincos, [Mnemonic.Fsincos]],
  [transcendental.fptan, [Mnemonic.Fptan]],
  [transcendental.fpatan, [Mnemonic.Fpatan]],

  [transfer.fldShort, [Mnemonic.Fild]],
  [transfer.fbld, [Mnemonic.Fbld]],
  [transfer.fbstp, [Mnemonic.Fbstp]],
  [transfer.storeInteger(false), [Mnemonic.Fist]],
  [transfer.storeInteger(true), [Mnemonic.Fistp]],
  [transfer.storeInteger(true, true), [Mnemonic.Fisttp], 'SSE3'],
  [transfer.fld1, [Mnemonic.Fld1]],
  [transfer.fldz, [Mnemonic.Fldz]],
  [transfer.fldpi, [Mnemonic.Fldpi]],
  [transfer.fldl2e, [Mnemonic.Fldl2e]],
  [transfer.fldl2t, [Mnemonic.Fldl2t]],
  [transfer.fldlg2, [Mnemonic.Fldlg2]],
  [transfer.fldln2, [Mnemonic.Fldln2]],
  [transfer.fxch, [Mnemonic.Fxch]],
  [transfer.conditionalMove(transfer.CONDITION.B, false), [Mnemonic.Fcmovb], 'CMOV'],
  [transfer.conditionalMove(transfer.CONDITION.E, false), [Mnemonic.Fcmove], 'CMOV'],
  [transfer.conditionalMove(transfer.CONDITION.BE, false), [Mnemonic.Fcmovbe], 'CMOV'],
  [transfer.conditionalMove(transfer.CONDITION.U, false), [Mnemonic.Fcmovu], 'CMOV'],
  [transfer.conditionalMove(transfer.CONDITION.B, true), [Mnemonic.Fcmovnb], 'CMOV'],
  [transfer.conditionalMove(transfer.CONDITION.E, true), [Mnemonic.Fcmovne], 'CMOV'],
  [transfer.conditionalMove(transfer.CONDITION.BE, true), [Mnemonic.Fcmovnbe], 'CMOV'],
  [transfer.conditionalMove(transfer.CONDITION.U, true), [Mnemonic.Fcmovnu], 'CMOV'],
  [transfer.fnop, [Mnemonic.Fnop]],
  [transfer.obsolete, [Mnemonic.Fneni, Mnemonic.Fndisi, Mnemonic.Fnsetpm]],
  [transfer.turnStack(1), [Mnemonic.Fincstp]],
  [transfer.turnStack(-1), [Mnemonic.Fdecstp]],
  [transfer.ffree(false), [Mnemonic.Ffree]],
  [transfer.ffree(true), [Mnemonic.Ffreep]],
];

/** By form, where forms differ too much. */
export const X87_CODES: readonly (readonly [Handler, readonly Code[]])[] = [
  [transfer.fldShort, [Code.Fld_m32fp, Code.Fld_m64fp]],
  [transfer.fldExtended, [Code.Fld_m80fp]],
  [transfer.fldRegister, [Code.Fld_sti]],
  [transfer.storeShort(false), [Code.Fst_m32fp, Code.Fst_m64fp]],
  [transfer.storeShort(true), [Code.Fstp_m32fp, Code.Fstp_m64fp]],
  [transfer.storeRegister(false), [Code.Fst_sti]],
  [transfer.storeRegister(true), [Code.Fstp_sti, Code.Fstp_sti_DFD0, Code.Fstp_sti_DFD8]],
  [transfer.fstpnce, [Code.Fstpnce_sti]],
  [transfer.fstpExtended, [Code.Fstp_m80fp]],
  [environment.fnstenv(false), [Code.Fnstenv_m14byte]],
  [environment.fnstenv(true), [Code.Fnstenv_m28byte]],
  [environment.fldenv(false), [Code.Fldenv_m14byte]],
  [environment.fldenv(true), [Code.Fldenv_m28byte]],
  [environment.fnsave(false), [Code.Fnsave_m94byte]],
  [environment.fnsave(true), [Code.Fnsave_m108byte]],
  [environment.frstor(false), [Code.Frstor_m94byte]],
  [environment.frstor(true), [Code.Frstor_m108byte]],
];
