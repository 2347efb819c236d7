// Mutants of a real kernel: in its startup code, each RIP-relative lea as `mov $symbol` and each RIP-relative load or store
// of 64 bits as one of 32 bits at an absolute address, both as long as before. `listed` mutants have the relocation table
// list the new constant, as it is with what a compiler makes; the others are as if bytes were patched.
import { auditVmlinux } from '../../../src/audit/vmlinux/audit.ts';
import { kernelFileOffset, readKernel, unsigned } from '../../../src/audit/vmlinux/layout.ts';
import { followStartup } from '../../../src/audit/vmlinux/walk.ts';
import { putU32, viewOf } from '../../../src/bits/cursor.ts';

export interface KernelMutant {
  readonly kind: 'lea' | 'memory';
  readonly linkAddress: bigint;
  readonly fileOffset: number;
  readonly bytes: Uint8Array;
  /** Low half of the address of the new constant. */
  readonly field: number;
}

const LENGTH = 7;
const REX_W = 0x48;
const REX_R = 4;

/** All that can be made of the startup code of `kernel`. */
export function kernelMutants(kernel: Uint8Array): KernelMutant[] {
  const file = readKernel(kernel);
  if (file.entry === undefined) throw new Error('this kernel has no entry');
  return followStartup(file, file.entry).instructions.flatMap(({ at, next }) => {
    const fileOffset = kernelFileOffset(file, at);
    if (fileOffset === undefined || next - at !== LENGTH) return [];
    const before = kernel.slice(fileOffset, fileOffset + LENGTH);
    const [rex = 0, opcode = 0, modrm = 0] = before;
    if ((rex & ~REX_R) !== REX_W || (modrm & 0xc7) !== 0x05) return [];
    const bytes = opcode === 0x8d ? movOf(rex, modrm) : absoluteOf(rex, opcode, modrm);
    if (bytes === undefined) return [];
    putU32(bytes, 3, (next + viewOf(before).getInt32(3, true)) >>> 0);
    const kind = opcode === 0x8d ? 'lea' : 'memory';
    return { kind, linkAddress: unsigned(at), fileOffset, bytes, field: (at + 3) >>> 0 };
  });
}

function movOf(rex: number, modrm: number): Uint8Array {
  return Uint8Array.of(REX_W | ((rex & REX_R) >> 2), 0xc7, 0xc0 | ((modrm >> 3) & 7), 0, 0, 0, 0);
}

/** The REX prefix makes room for the SIB byte; registers from r8 on need it. */
function absoluteOf(rex: number, opcode: number, modrm: number): Uint8Array | undefined {
  return rex === REX_W ? Uint8Array.of(opcode, (modrm & 0x38) | 4, 0x25, 0, 0, 0, 0) : undefined;
}

export interface Score {
  readonly mutants: number;
  /** Mutants whose instruction the audit names. */
  readonly named: number;
  /** Findings of another instruction. */
  readonly others: number;
}

/** Audits each mutant. A copy of the kernel is patched and put back. */
export function scoreMutants(kernel: Uint8Array, mutants: readonly KernelMutant[], listed: boolean): Score {
  const buffer = new Uint8Array(kernel.length + 4);
  buffer.set(kernel);
  let [named, others] = [0, 0];
  for (const { fileOffset, bytes, field, linkAddress } of mutants) {
    buffer.set(bytes, fileOffset);
    putU32(buffer, kernel.length, field);
    const { findings } = auditVmlinux(listed ? buffer : buffer.subarray(0, kernel.length));
    if (findings.some((f) => f.linkAddress === linkAddress)) named++;
    others += findings.filter((f) => f.linkAddress !== linkAddress).length;
    buffer.set(kernel.subarray(fileOffset, fileOffset + LENGTH), fileOffset);
  }
  return { mutants: mutants.length, named, others };
}
