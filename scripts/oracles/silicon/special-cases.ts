// Cases that no walk over iced's Codes gives: bytes that must not execute, prefixes in odd places, addresses that fault.
import { Code, CodeExt } from 'iced-x86';
import { PAGE_BYTES, REGIONS, type VectorMode } from '../../../test/vectors/layout.ts';
import { type Case, casesOf } from './cases.ts';
import { flagsDefinedBy } from './defined-flags.ts';
import { canBeMemory, disassemble, type Form, makeForm, mustBeMemory, type Wish } from './forms.ts';
import { mnemonicOf } from '../../../test/vectors/codes.ts';
import { makeInput } from './inputs.ts';
import type { Random } from './random.ts';
import { backgroundState } from './state.ts';

const fromHex = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

// 64-bit mode has dropped these (Intel SDM vol. 2, table A-2, superscript i64): #UD.
const GONE_IN_64 =
  '06,07,0e,16,17,1e,1f,27,2f,37,3f,60,61,82c001,9a000000003300,ce,d400,d40a,d50a,d6,ea000000003300,c5c8,c400';

// Reserved opcodes and group members, register forms of memory-only instructions, and prefixes VEX does not allow: #UD.
const UNDEFINED =
  '0f04,0f0a,0f0c,0f24c0,0f26c0,0f36,0f39,0f7bc0,0fa6c3,0fa7c3,0fb9c0,0fffc0,0f0b,' + // holes, UD1, UD0, UD2
  'fed0,fed8,fee0,fee8,fef0,fef8,ffff,fff8,' + // groups 4 and 5
  'c6c801,c6f001,c7c801000000,c7f001000000,8fd0,8fc8,8ff8,' + // group 11, group 1A
  '0fbac005,0fbac805,0fbad005,0fbad805,' + // group 8 /0 to /3
  '0fc7c8,0fc7c0,0fc7d0,' + // CMPXCHG8B and others on a register
  '8dc0,668dc0,62c0,' + // LEA of a register; BOUND of a register (EVEX in 64-bit mode)
  '8ec8,8cf0,8cf8,8ef0,8ef8,' + // MOV to CS; segment registers 6 and 7
  'ffd8,ffe8,' + // far CALL and JMP through a register
  'c5f8f2c1,c4e27cf2c1,c4e27af2c1,c4e379f0c105,c4e37ff0c105,66c4e270f2c1,f3c4e270f2c1,f2c4e270f2c1,' + // VEX.L, pp, vvvv, prefixes
  'f0c4e270f2c1,c4e270f3c1,c4e270f3e1,c4e078f2c1,c4ff78f2c1'; // LOCK, BLS group members, no such map

const UNDEFINED_64 = '48c4e270f2c1,40c5f8f2c1'; // REX before VEX

function raw(bytes: Uint8Array, mode: VectorMode, name: string): Case {
  const { text, instruction } = disassemble(bytes, mode);
  return { form: undefined, name, text, bytes, state: backgroundState(mode), flagsMask: flagsDefinedBy(instruction) };
}

const rawList = (list: string, mode: VectorMode, name: string): Case[] =>
  list.split(',').map((hex) => raw(fromHex(hex), mode, name));

const prefixed = (prefix: Uint8Array, form: Form): Uint8Array => Uint8Array.from([...prefix, ...form.bytes]);

/** LOCK on one register form and, where LOCK is not allowed at all, one memory form of every given Code. */
export function illegalLocks(codes: readonly Code[], mode: VectorMode, random: Random): Case[] {
  const lockByte = Uint8Array.of(0xf0);
  return codes.flatMap((code) => {
    const lockable = CodeExt.opCode(code).canUseLockPrefix;
    const wishes: Wish[] = [...(mustBeMemory(code) ? [] : [{}])];
    if (canBeMemory(code) && !lockable) wishes.push({ shape: 'base' });
    return wishes
      .map((wish) => (CodeExt.opCode(code).isAvailableInMode(mode) ? makeForm(code, mode, wish, random) : undefined))
      .filter((form) => form !== undefined)
      .map((form) => ({ ...raw(prefixed(lockByte, form), mode, 'illegal-lock'), text: `lock ${form.text}` }));
  });
}

// 15 bytes are the longest instruction; one more is #GP(0) (Intel SDM vol. 3, 6.15, #GP).
function longInstructions(mode: VectorMode): Case[] {
  const bodies = ['90', '01d8', '83c0f6', 'f7d8', '0fafc3'].map(fromHex);
  return bodies.flatMap((body) =>
    [14, 15, 16, 17].flatMap((length) =>
      [0x66, 0x2e, 0x67, 0x3e].map((prefix) => {
        const bytes = Uint8Array.from([...new Uint8Array(length - body.length).fill(prefix), ...body]);
        return raw(bytes, mode, length > 15 ? 'too-long' : 'long');
      }),
    ),
  );
}

/** Bytes that end in #UD or #GP, with a few controls that must not. */
export function illegalCases(mode: VectorMode): Case[] {
  const cases = [...rawList(UNDEFINED, mode, 'undefined'), ...longInstructions(mode)];
  if (mode !== 64)
    return cases.filter(({ bytes }) => !(bytes[0] === 0x62 || bytes[0] === 0xc4 || bytes[0] === 0xc5) || mode === 32);
  return [
    ...cases.filter(({ bytes }) => bytes[0] !== 0x62),
    ...rawList(UNDEFINED_64, mode, 'undefined'),
    ...rawList(GONE_IN_64, mode, 'not-in-64-bit-mode'),
  ];
}

const NOP_OPCODES = [0x0d, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f];

/**
 * Every member of the groups that are NOPs or hints, on a register and on memory, with each prefix that makes another
 * instruction of some of them (SDM 2D, table A-3: 0F 0D, 0F 18 to 0F 1F), and with LOCK. The address is what stands in
 * the registers, mapped or not: nothing is accessed.
 */
export function nopSpaceCases(mode: VectorMode): Case[] {
  const prefixes = [[], [0x66], [0xf3], [0xf2], [0xf0], ...(mode === 64 ? [[0x48], [0xf3, 0x48]] : [])];
  return prefixes.flatMap((prefix) =>
    NOP_OPCODES.flatMap((opcode) =>
      range(0, 8).flatMap((member) =>
        [0xc1, 0x01].map((rest) =>
          raw(Uint8Array.of(...prefix, 0x0f, opcode, rest | (member << 3)), mode, 'nop-space'),
        ),
      ),
    ),
  );
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at);

const MANDATORY = [[], [0x66], [0xf3], [0xf2]];
/** Rows of the maps behind 0F 38 and 0F 3A that SSSE3 and SSE4 stand in. */
const THREE_BYTE = [
  ...range(0x00, 0x43).map((opcode) => [0x38, opcode]),
  ...range(0x00, 0x64).map((opcode) => [0x3a, opcode]),
];

// Every opcode behind 0F with each mandatory prefix, on registers and on memory, and every x87 opcode.
function opcodesAround(): Uint8Array[] {
  const twoByte = MANDATORY.flatMap((prefix) =>
    range(0x10, 0x100).flatMap((opcode) => [0xc1, 0x01, 0xf9].map((rest) => [...prefix, 0x0f, opcode, rest])),
  );
  const threeByte = MANDATORY.flatMap((prefix) =>
    THREE_BYTE.flatMap((opcode) => [0xc1, 0x01].map((rest) => [...prefix, 0x0f, ...opcode, rest])),
  );
  const x87 = range(0xd8, 0xe0).flatMap((opcode) => [
    ...range(0xc0, 0x100).map((rest) => [opcode, rest]),
    ...range(0, 8).map((group) => [opcode, 0x01 | (group << 3)]),
  ]);
  return [...twoByte, ...threeByte, ...x87].map((bytes) => Uint8Array.from(bytes));
}

/** What no manual gives a meaning, in the maps that SSE, MMX and x87 stand in: #UD. */
export function undefinedVectorCases(mode: VectorMode): Case[] {
  const padding = new Uint8Array(8).fill(0xcc);
  const isUndefined = (bytes: Uint8Array): boolean =>
    disassemble(Uint8Array.from([...bytes, ...padding]), mode).instruction.code === Code.INVALID;
  return opcodesAround()
    .filter(isUndefined)
    .map((bytes) => raw(bytes, mode, 'undefined'));
}

// Prefixes that change nothing, or that a later one takes over (Intel SDM vol. 2, 2.1.1 and 2.2.1): ignored segments,
// repeated 66, REX that is not last, REX.W over 66, a REPE that means nothing to the instruction.
const HARMLESS_64 = [
  '2e',
  '3e',
  '26',
  '36',
  '6666',
  '662e66',
  '48',
  '41',
  '4866',
  '4f66',
  '482e',
  '662e',
  'f3',
  'f2',
  '40',
  '4f',
  '6667',
  '6748',
];
const HARMLESS_32 = ['3e', '26', '36', '6666', '6667', '67', 'f3', 'f2', '663e66'];
const PREFIX_CODES = [
  Code.Add_rm32_r32,
  Code.Add_rm8_r8,
  Code.Sub_EAX_imm32,
  Code.Adc_rm32_imm8,
  Code.Mov_r32_rm32,
  Code.Mov_r32_imm32,
  Code.Neg_rm32,
  Code.Imul_r32_rm32,
  Code.Shl_rm32_imm8,
  Code.Movzx_r32_rm8,
  Code.Cwde,
  Code.Xchg_r32_EAX,
  Code.Bt_rm32_imm8,
  Code.Sete_rm8,
  Code.Cmove_r32_rm32,
];

/** Register forms with odd prefixes in front. Their inputs are those of the plain form, so that what differs is the prefix. */
export function prefixCases(mode: VectorMode, random: Random): Case[] {
  const prefixes = (mode === 64 ? HARMLESS_64 : HARMLESS_32).map(fromHex);
  return PREFIX_CODES.flatMap((code) =>
    prefixes.flatMap((prefix) => {
      const form = makeForm(code, mode, {}, random);
      const bytes = form && prefixed(prefix, form);
      const decoded = bytes && disassemble(bytes, mode);
      // Where the prefix makes another instruction (48 98 is CDQE, f3 90 PAUSE), or one longer than its bytes: not our matter.
      if (!form || !decoded || decoded.instruction.isInvalid || decoded.instruction.length !== bytes.length) return [];
      const odd: Form = {
        ...form,
        ...decoded,
        bytes,
        name: Code[decoded.instruction.code] ?? '?',
        code: decoded.instruction.code,
      };
      return casesOf(odd, 3, random);
    }),
  );
}

const FAULT_CODES =
  'Mov_r8_rm8 Mov_r16_rm16 Mov_r32_rm32 Mov_r64_rm64 Mov_rm8_r8 Mov_rm16_r16 Mov_rm32_r32 Mov_rm64_r64 Mov_rm32_imm32 ' +
  'Add_rm32_r32 Add_rm64_r64 Adc_rm64_imm8 Add_r64_rm64 Cmp_rm32_r32 Test_rm64_r64 Inc_rm32 Neg_rm64 Not_rm16 ' +
  'Xchg_rm32_r32 Xadd_rm64_r64 Cmpxchg_rm32_r32 Cmpxchg8b_m64 Shl_rm32_CL Rol_rm64_1 Shld_rm32_r32_imm8 ' +
  'Imul_r32_rm32 Mul_rm64 Movzx_r32_rm16 Movsxd_r64_rm32 Movsx_r64_rm8 Bt_rm32_imm8 Bts_rm32_imm8 Btc_rm64_imm8 ' +
  'Bsf_r32_rm32 Popcnt_r64_rm64 Cmove_r32_rm32 Sete_rm8 Movbe_r32_m32 Movbe_m64_r64 Push_rm64 Push_rm32 Pop_rm64 Pop_rm32 ' +
  'Crc32_r32_rm32 VEX_Andn_r64_r64_rm64 VEX_Mulx_r32_r32_rm32 Lea_r64_m Nop_rm32';

const DATA_END = REGIONS.D.page + PAGE_BYTES;
/** Across the end of the page, behind it, in front of it, and across its start. */
const UNMAPPED = [
  DATA_END - 1n,
  DATA_END - 2n,
  DATA_END - 4n,
  DATA_END,
  DATA_END + 5n,
  REGIONS.D.page - 1n,
  REGIONS.D.page - 0x800n,
];
const NOT_CANONICAL = [0x8000_0000_0000n, 0x8000_0000_0000_0000n, 0xffff_7fff_ffff_fff0n, 0x1234_5678_9abc_def0n];

const codeByName = (name: string): Code => Code[name as keyof typeof Code];

/** Memory operands at addresses that are not mapped or not canonical. */
export function faultCases(mode: VectorMode, random: Random): Case[] {
  const aims = mode === 64 ? [...UNMAPPED, ...NOT_CANONICAL] : UNMAPPED;
  return FAULT_CODES.split(' ')
    .map(codeByName)
    .filter((code) => CodeExt.opCode(code).isAvailableInMode(mode))
    .flatMap((code) =>
      aims.flatMap((aim) => {
        const form = makeForm(
          code,
          mode,
          { shape: random.pick(['base', 'base+disp8', 'base+index'] as const) },
          random,
          [1, 4, 5],
        );
        // 16-bit addresses can't reach any of these, RSP or RBP as base would make it a stack access.
        return form && form.address?.region === 'D' ? casesOf(form, 1, random, aim) : [];
      }),
    );
}

const STACK_CODES =
  'Push_r64 Push_r32 Push_r16 Pushq_imm32 Pushq_imm8 Pop_r64 Pop_r32 Pop_r16 Pushfq Pushfd Popfq Popfd Call_rel32_64 ' +
  'Call_rel32_32 Call_rm64 Retnq Retnd Leaveq Leaved Pushad Popad Enterq_imm16_imm8 Push_rm64 Pop_rm64';
const STACK_END = REGIONS.S.page + PAGE_BYTES;
const BAD_STACKS = [
  REGIONS.S.page,
  REGIONS.S.page + 1n,
  STACK_END - 1n,
  STACK_END,
  STACK_END + 8n,
  0x8000_0000_0100n,
  0xffff_0000_0000_0000n,
];

// The start of the page is bad for what pushes; a return would find a return address of 0 there.
const isBadFor = (code: Code, mode: VectorMode, pointer: bigint): boolean =>
  (mode === 64 || pointer < 0x100000000n) && !(/^(Ret|Iret)/.test(mnemonicOf(code)) && pointer < STACK_END - 8n);

/** Stack instructions whose stack pointer (frame pointer for LEAVE) is bad, or so near the end of the page that they run out. */
export function stackFaultCases(mode: VectorMode, random: Random): Case[] {
  return STACK_CODES.split(' ')
    .map(codeByName)
    .filter((code) => CodeExt.opCode(code).isAvailableInMode(mode))
    .flatMap((code) =>
      BAD_STACKS.filter((pointer) => isBadFor(code, mode, pointer)).flatMap((pointer) => {
        const form = makeForm(code, mode, { immediate: 16n }, random);
        const input = form && makeInput(form, 0, random);
        if (!form || !input) return [];
        const pointerRegister = mnemonicOf(code) === 'Leave' ? 5 : 4;
        input.state.regs[pointerRegister] = pointer;
        return [{ form, name: form.name, text: form.text, bytes: form.bytes, ...input }];
      }),
    );
}

const REPEATED =
  'Movsb_m8_m8 Movsw_m16_m16 Movsd_m32_m32 Movsq_m64_m64 Stosb_m8_AL Stosd_m32_EAX Stosq_m64_RAX Lodsb_AL_m8 Lodsq_RAX_m64';

/** REP string instructions that run off their page in the middle: the registers must tell how far they came. */
export function stringFaultCases(mode: VectorMode, random: Random): Case[] {
  return REPEATED.split(' ')
    .map(codeByName)
    .filter((code) => CodeExt.opCode(code).isAvailableInMode(mode))
    .flatMap((code) => {
      const form = makeForm(code, mode, { repeat: 'rep', addressBits: mode === 64 ? 64 : 32 }, random);
      if (!form) return [];
      return [0n, 1n, 7n, 8n, 16n, 25n].flatMap((left) => {
        const input = makeInput(form, 3, random);
        if (!input) return [];
        const inner = REGIONS.D.block + 0x40n;
        const pair = random.chance(50) ? [DATA_END - left, inner] : [inner, DATA_END - left];
        [input.state.regs[6], input.state.regs[7]] = [pair[0] ?? 0n, pair[1] ?? 0n];
        input.state.regs[1] = 40n;
        input.state.rflags &= ~0x400;
        input.state.blocks.clear();
        input.state.blocks.set(
          'D',
          new Uint8Array(256).map((_, index) => index ^ 0x5a),
        );
        return [{ form, name: form.name, text: form.text, bytes: form.bytes, ...input }];
      });
    });
}
