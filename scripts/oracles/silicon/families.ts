// Which instructions are recorded, and in which file each stands. Every general-purpose Code of iced is either in a
// family here or left out with a reason; a Code in neither makes the generator stop.
import { Code, CodeExt, CpuidFeature, Instruction, OpCodeOperandKind as Kind } from 'iced-x86';
import { mnemonicOf, operandKinds, type Universe } from '../../../test/vectors/codes.ts';

const CONDITIONS = 'o no b ae e ne be a s ns p np l ge le g'.split(' ');
const words = (text: string): string[] => text.split(' ');

/** Mnemonics, in iced's spelling, by family. */
const FAMILY_MNEMONICS: Record<string, string[]> = {
  arithmetic: words('Add Adc Sub Sbb Cmp Inc Dec Neg Adcx Adox'),
  logic: words('And Or Xor Test Not'),
  multiply: words('Mul Imul Mulx'),
  divide: words('Div Idiv'),
  shift: words('Shl Sal Shr Sar Shld Shrd Shlx Shrx Sarx'),
  rotate: words('Rol Ror Rcl Rcr Rorx'),
  bits: words('Bt Bts Btr Btc Bsf Bsr Lzcnt Tzcnt Popcnt'),
  bmi: words('Andn Bextr Blsi Blsmsk Blsr Bzhi Pdep Pext'),
  move: words('Mov Movzx Movsx Movsxd Movbe Movnti Bswap Xlatb Crc32 Cbw Cwde Cdqe Cwd Cdq Cqo'),
  address: words('Lea'),
  atomic: words('Xchg Xadd Cmpxchg Cmpxchg8b Cmpxchg16b'),
  condition: CONDITIONS.flatMap((condition) => [`Set${condition}`, `Cmov${condition}`]),
  branch: [
    ...CONDITIONS.map((condition) => `J${condition}`),
    ...words('Jmp Call Ret Loop Loope Loopne Jcxz Jecxz Jrcxz'),
  ],
  stack: words('Push Pop Pusha Pushad Popa Popad Pushf Pushfd Pushfq Popf Popfd Popfq Enter Leave'),
  string: ['Movs', 'Cmps', 'Stos', 'Lods', 'Scas'].flatMap((name) => words('b w d q').map((size) => name + size)),
  flags: words('Clc Stc Cmc Cld Std Lahf Sahf Salc'),
  bcd: words('Aaa Aas Aam Aad Daa Das'),
  hint: words(
    'Nop Reservednop Pause Endbr32 Endbr64 Prefetch Prefetchw Prefetchnta Prefetcht0 Prefetcht1 Prefetcht2 Cldemote ' +
      'Clflush Clflushopt Clwb Lfence Mfence Sfence',
  ),
  segment: words('Lar Lsl Verr Verw Arpl Lds Les Lss Lfs Lgs Rdgsbase'),
  far: words('Retf Iret Iretd Iretq'),
  interrupt: words('Int Int1 Int3 Into Bound'),
  privileged: words(
    'Hlt Cli Sti In Out Insb Insw Insd Outsb Outsw Outsd Lldt Ltr Lgdt Lidt Lmsw Invlpg Clac Stac Swapgs Sysret Sysretq ' +
      'Clts Invd Wbinvd Wrmsr Rdmsr',
  ),
  illegal: words('Ud0 Ud1 Ud2'),
};

/** Left out by mnemonic, and why. */
const LEFT_OUT: Record<string, string> = {
  Cpuid: 'tells about the host',
  Rdtsc: 'tells the time',
  Rdfsbase: 'tells an address of the recorder',
  Wrfsbase: 'changes no register that a vector shows',
  Wrgsbase: 'changes no register that a vector shows',
  Sldt: 'UMIP: Linux emulates it',
  Str: 'UMIP: Linux emulates it',
  Sgdt: 'UMIP: Linux emulates it',
  Sidt: 'UMIP: Linux emulates it',
  Smsw: 'UMIP: Linux emulates it',
  Syscall: 'enters the kernel',
  Monitor: 'depends on an MSR at CPL 3',
  Mwait: 'depends on an MSR at CPL 3',
  Invpcid: 'depends on the CPU model',
  Ldmxcsr: 'in the family sse-float',
  Stmxcsr: 'in the family sse-float',
  Wait: 'in the family x87',
};

/** Left out by Code: the vendors differ, or the manual leaves the result open. */
const LEFT_OUT_CODES: [RegExp, string][] = [
  [/^Bswap_r16$/, 'undefined result'],
  [/^(Call|Jmp)_m1664$|^L[sfg]s_r64_m1664$/, 'REX.W: Intel loads a 64-bit offset, AMD ignores it'],
  [/^Mov_(r32_tr|tr_r32)$/, 'test registers: 386 and 486 only'],
  [/^Popw_CS$/, '8086 only'],
  [/_rel8_16_RCX$|^Jrcxz_rel8_16$/, '16-bit operand size in 64-bit mode: Intel ignores it, AMD cuts RIP'],
  [/^Ud0$/, 'without a ModRM byte: old Intel CPUs only'],
];

const FEATURES = new Set<CpuidFeature>(
  words(
    'INTEL8086 INTEL186 INTEL286 INTEL386 INTEL486 X64 CMOV PAUSE MULTIBYTENOP CX8 CMPXCHG16B POPCNT LZCNT BMI1 BMI2 ADX ' +
      'MOVBE SSE4_2 CLFSH CLFLUSHOPT CLWB SSE2 SSE PREFETCHW CET_IBT FSGSBASE CLDEMOTE SMAP MSR CPUID TSC SYSCALL INVPCID MONITOR',
  ).map((name) => CpuidFeature[name as keyof typeof CpuidFeature]),
);

const VECTOR_KIND = /mm|^st|bnd|k_|kp1|sibmem|mem_mib/;
const isVectorKind = (kind: Kind): boolean =>
  VECTOR_KIND.test(Kind[kind] ?? '') && !(Kind[kind] ?? '').startsWith('imm');

function isGeneralPurpose(code: Code): boolean {
  const info = CodeExt.opCode(code);
  if (!info.isInstruction || info.decoderOption !== 0 || operandKinds(code).some(isVectorKind)) return false;
  const instruction = new Instruction();
  instruction.code = code;
  const features = instruction.cpuidFeatures();
  instruction.free();
  return features.every((feature) => FEATURES.has(feature));
}

const SEGMENT_KINDS = new Set<Kind>([Kind.seg_reg, Kind.es, Kind.cs, Kind.ss, Kind.ds, Kind.fs, Kind.gs]);
const CONTROL_KINDS = new Set<Kind>([Kind.cr_reg, Kind.dr_reg, Kind.tr_reg]);
const FAMILY_OF = new Map(
  Object.entries(FAMILY_MNEMONICS).flatMap(([family, mnemonics]) => mnemonics.map((name) => [name, family] as const)),
);

function familyOf(code: Code): string | undefined {
  const kinds = operandKinds(code);
  if (kinds.some((kind) => SEGMENT_KINDS.has(kind))) return 'segment';
  if (kinds.some((kind) => CONTROL_KINDS.has(kind))) return 'privileged';
  if (/^(Call|Jmp)_(ptr|m)16/.test(Code[code] ?? '')) return 'far';
  return FAMILY_OF.get(mnemonicOf(code));
}

/** All general-purpose Codes that exist in 64- or 32-bit mode, by family. Throws if one has no place. */
export function generalPurposeCodes(): Universe {
  const universe: Universe = {
    byFamily: new Map(Object.keys(FAMILY_MNEMONICS).map((family) => [family, []])),
    leftOut: new Map(),
  };
  const all = Object.values(Code).filter((value): value is Code => typeof value === 'number');
  for (const code of all.filter(isGeneralPurpose)) {
    const name = Code[code] ?? '?';
    const reason = LEFT_OUT[mnemonicOf(code)] ?? LEFT_OUT_CODES.find(([pattern]) => pattern.test(name))?.[1];
    const family = familyOf(code);
    if (reason !== undefined) universe.leftOut.set(name, reason);
    else if (family !== undefined) universe.byFamily.get(family)?.push(code);
    else throw new Error(`${name} is in no family and not left out`);
  }
  return universe;
}
