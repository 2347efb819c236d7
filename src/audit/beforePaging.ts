// Code of a program that is linked to high addresses, loaded low, and entered with paging off (Multiboot, PVH): until it turns
// paging on, what it calls by its link address is not there. Followed is only what certainly runs before that: from the entry
// point through jumps and branches and into calls, never behind a call, a far transfer, or a write of CR0 or a segment register.
import {
  FlowControl,
  type Instruction,
  InstructionInfoFactory,
  Mnemonic,
  OpKind,
  Register,
  RegisterExt,
} from 'iced-x86';
import { hex } from '../bits/hex.ts';
import { attText, decodeOne } from '../code/disassembly.ts';
import { isOnlyRead } from '../code/facts.ts';
import type { ElfSegment } from '../image/elf.ts';
import type { Finding } from './types.ts';

/** Below it a link address may as well be RAM that the program means: 1 GiB, the lowest of Linux's PAGE_OFFSETs too. */
const HIGH = 0x4000_0000;
/** Startup code up to paging has some hundred instructions. */
const MOST_INSTRUCTIONS = 4000;
const LONGEST = 15;

type Constant = { readonly value: number; readonly at: number };
type Path = { at: number; constants: Map<Register, Constant> };

type Walk = {
  readonly bytes: Uint8Array;
  readonly segments: readonly ElfSegment[];
  readonly seen: Set<number>;
  readonly open: Path[];
  readonly findings: Map<number, Finding>;
  readonly info: InstructionInfoFactory;
};

export type BeforePaging = { readonly findings: readonly Finding[]; readonly instructions: number };

/** Undefined where the program is not linked high. @param entry physical */
export function beforePaging(
  bytes: Uint8Array,
  segments: readonly ElfSegment[],
  entry: number,
): BeforePaging | undefined {
  const high = segments.filter(
    ({ virtAddr, physAddr }) => virtAddr >= HIGH && virtAddr < 2 ** 32 && Number(virtAddr) !== physAddr,
  );
  if (high.length === 0) return undefined;
  const walk: Walk = {
    ...{ bytes, segments, seen: new Set(), findings: new Map(), info: new InstructionInfoFactory() },
    open: [{ at: entry, constants: new Map() }],
  };
  for (let path = walk.open.pop(); path !== undefined; path = walk.open.pop()) follow(walk, path);
  walk.info.free();
  return { findings: [...walk.findings.values()], instructions: walk.seen.size };
}

function follow(walk: Walk, path: Path): void {
  while (!walk.seen.has(path.at) && walk.seen.size < MOST_INSTRUCTIONS) {
    const home = segmentAt(walk, path.at);
    if (home === undefined) return;
    const offset = home.fileOffset + path.at - home.physAddr;
    const instruction = decodeOne(walk.bytes.subarray(offset, offset + LONGEST), BigInt(path.at), 32);
    const next = step(walk, path, instruction);
    instruction.free();
    if (next === undefined) return;
    path.at = next;
  }
}

/** Where it goes on; undefined where what follows may run with paging on, or is not known. */
function step(walk: Walk, path: Path, instruction: Instruction): number | undefined {
  if (instruction.mnemonic === Mnemonic.INVALID) return undefined;
  walk.seen.add(path.at);
  const used = usedAddress(path, instruction);
  if (used !== undefined) report(walk, path, instruction, used);
  const target = Number(instruction.nearBranchTarget);
  switch (instruction.flowControl) {
    case FlowControl.Next:
      return endsCertainty(instruction) ? undefined : afterwards(walk, path, instruction);
    case FlowControl.ConditionalBranch:
      walk.open.push({ at: target, constants: new Map() });
      return path.at + instruction.length;
    case FlowControl.UnconditionalBranch:
      return instruction.op0Kind === OpKind.NearBranch32 ? target : undefined;
    case FlowControl.Call:
      return instruction.op0Kind === OpKind.NearBranch32 ? entered(path, target) : undefined;
    default:
      return undefined;
  }
}

function entered(path: Path, target: number): number {
  path.constants.clear();
  return target;
}

/** Paging, or segments that move what addresses mean. */
function endsCertainty(instruction: Instruction): boolean {
  const { mnemonic, op0Kind, op0Register: register } = instruction;
  if (mnemonic === Mnemonic.Lmsw) return true;
  if (op0Kind !== OpKind.Register) return false;
  return RegisterExt.isCR(register) || RegisterExt.isSegmentRegister(register);
}

/** What is known of registers behind an instruction: numbers moved into them, and what is added to those. */
function afterwards(walk: Walk, { at, constants }: Path, instruction: Instruction): number {
  const { mnemonic, op0Kind, op1Kind, op0Register: to } = instruction;
  const ofRegister = op0Kind === OpKind.Register;
  const before = constants.get(to);
  const from = op1Kind === OpKind.Register ? constants.get(instruction.op1Register) : undefined;
  for (const used of walk.info.info(instruction).usedRegisters()) {
    if (!isOnlyRead(used.access)) {
      constants.delete(RegisterExt.fullRegister32(used.register));
    }
    used.free();
  }
  const number = immediateOf(instruction);
  if (ofRegister && mnemonic === Mnemonic.Mov) {
    if (number !== undefined && RegisterExt.isGPR32(to)) constants.set(to, { value: number, at });
    else if (from !== undefined) constants.set(to, from);
  } else if (ofRegister && before !== undefined && number !== undefined) {
    const sign = mnemonic === Mnemonic.Add ? 1 : mnemonic === Mnemonic.Sub ? -1 : 0;
    if (sign !== 0) constants.set(to, { ...before, value: (before.value + sign * number) >>> 0 });
  }
  return at + instruction.length;
}

function immediateOf({ op1Kind, immediate32, immediate8to32 }: Instruction): number | undefined {
  if (op1Kind === OpKind.Immediate32) return immediate32 >>> 0;
  return op1Kind === OpKind.Immediate8to32 ? immediate8to32 >>> 0 : undefined;
}

type Used = { readonly address: number; readonly madeAt: number };

/** The address an instruction accesses or jumps to, where it is a number that the code holds. */
function usedAddress({ at, constants }: Path, instruction: Instruction): Used | undefined {
  const { mnemonic, flowControl } = instruction;
  if (mnemonic === Mnemonic.Lea || mnemonic === Mnemonic.Nop) return undefined;
  const indirect = flowControl === FlowControl.IndirectBranch || flowControl === FlowControl.IndirectCall;
  if (indirect && instruction.op0Kind === OpKind.Register) return ofConstant(constants.get(instruction.op0Register), 0);
  for (let i = 0; i < instruction.opCount; i++) {
    const kind = instruction.opKind(i);
    if (kind === OpKind.MemoryESEDI) return ofConstant(constants.get(Register.EDI), 0);
    if (kind === OpKind.MemorySegESI) return ofConstant(constants.get(Register.ESI), 0);
    if (kind !== OpKind.Memory || instruction.memoryIndex !== Register.None) continue;
    const displacement = Number(BigInt.asUintN(32, instruction.memoryDisplacement));
    if (instruction.memoryBase === Register.None) return { address: displacement, madeAt: at };
    return ofConstant(constants.get(instruction.memoryBase), displacement);
  }
  return undefined;
}

const ofConstant = (constant: Constant | undefined, more: number): Used | undefined =>
  constant && { address: (constant.value + more) >>> 0, madeAt: constant.at };

const segmentAt = ({ segments }: Walk, at: number): ElfSegment | undefined =>
  segments.find(({ physAddr, fileSize }) => at >= physAddr && at < physAddr + fileSize);

function report(walk: Walk, { at }: Path, instruction: Instruction, { address, madeAt }: Used): void {
  const home = walk.segments.find((s) => address >= Number(s.virtAddr) && address < Number(s.virtAddr) + s.memSize);
  if (home === undefined || address < HIGH || walk.findings.has(madeAt)) return;
  // What lies where it is linked is right with paging off.
  const away = Number(home.virtAddr) - home.physAddr;
  const code = segmentAt(walk, madeAt);
  if (away === 0 || code === undefined) return;
  const fileOffset = code.fileOffset + madeAt - code.physAddr;
  const culprit =
    madeAt === at ? undefined : decodeOne(walk.bytes.subarray(fileOffset, fileOffset + LONGEST), BigInt(madeAt), 32);
  const text = attText(culprit ?? instruction).replace(/\s+/g, ' ');
  const length = (culprit ?? instruction).length;
  culprit?.free();
  const user = madeAt === at ? 'uses it' : `\`${attText(instruction).replace(/\s+/g, ' ')}\` at ${hex(at)} uses it`;
  walk.findings.set(madeAt, {
    rule: 'position-dependent-reference',
    severity: 'error',
    confidence: 'high',
    message: `\`${text}\` at ${hex(madeAt)} holds the link address ${hex(address)}, and ${user} before paging is on, while the program lies ${hex(away)} lower.`,
    reason:
      'The program is entered at a physical address with paging off, and nothing on the way to this instruction turns paging on or changes a segment.',
    fileOffset,
    linkAddress: code.virtAddr + BigInt(madeAt - code.physAddr),
    bytes: walk.bytes.slice(fileOffset, fileOffset + length),
    text,
    target: { linkAddress: BigInt(address) },
    advice: `Until paging is on the physical address is right, SYMBOL - ${hex(away)}: ${hex(address - away)} here.`,
  });
}
