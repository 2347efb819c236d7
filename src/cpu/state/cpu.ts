// What microcode (the instructions written in TypeScript instead of WebAssembly) sees of the machine around it.

import type { PhysAddr } from '../../bits/address.ts';
import type { CpuModel } from '../../x86/models.ts';
import type { ReasonId } from '../../x86/reasons.ts';
import type { CpuState } from './state.ts';

/** An exception an instruction raised; plain data, never thrown. `error` where the vector has an error code. */
export type Fault = {
  readonly kind: 'fault';
  /** The check that failed. */
  readonly reason: ReasonId;
  readonly vector: number;
  readonly error?: number;
  /** Linear address that missed, for CR2 (#PF only). */
  readonly address?: bigint;
  /** #DB and the software interrupts report the instruction after this one (trap) instead of this one (fault). */
  readonly trap?: boolean;
  /** Bits to set in DR6 (#DB only). */
  readonly dr6?: bigint;
  /** The software interrupt (INT n, INT3, INTO) whose delivery met this fault, and why it could not be delivered. */
  readonly during?: { readonly vector: number; readonly reason: string };
};

export const fault = (reason: ReasonId, vector: number, error?: number, address?: bigint): Fault => ({
  kind: 'fault',
  reason,
  vector,
  ...(error === undefined ? {} : { error }),
  ...(address === undefined ? {} : { address }),
});

export const isFault = (value: unknown): value is Fault =>
  typeof value === 'object' && value !== null && (value as { kind?: string }).kind === 'fault';

/** How memory is accessed; `implicit` accesses (descriptor tables, TSS, IDT) are supervisor's whatever the CPL (SDM 3A 4.6). */
export type Access = {
  readonly write?: boolean;
  readonly fetch?: boolean;
  readonly implicit?: boolean;
  /** A part of something whose alignment is looked at otherwise, or not at all: never #AC. */
  readonly unaligned?: boolean;
  /** It is whoever watches that wants to know, not the guest: no accessed bit is set. */
  readonly peek?: boolean;
};

export type AccessBytes = 1 | 2 | 4 | 8;

export type PortIo = {
  /** @param size 1, 2 or 4 @returns unsigned value */
  in(port: number, size: 1 | 2 | 4): number;
  out(port: number, size: 1 | 2 | 4, value: number): void;
  /**
   * ns that a read of one byte takes beside its instruction's, where until something else happens at a port or time comes
   * to a chip it would give the same byte and change nothing; else undefined.
   */
  steady?(port: number): number | undefined;
};

/** The local APIC as instructions reach it: by MSR and as CR8. */
export type ApicRegisters = {
  /** IA32_APIC_BASE bit 11, which CPUID shows. */
  readonly enabled: boolean;
  /** TPR, 0 to 255; CR8 is its upper half. */
  taskPriority: number;
  /** IA32_APIC_BASE, IA32_TSC_DEADLINE or an x2APIC register; undefined: #GP(0). */
  readMsr(number: number): bigint | undefined;
  /** @returns false for #GP(0) */
  writeMsr(number: number, value: bigint): boolean;
};

export type Cpu = {
  readonly state: CpuState;
  readonly model: CpuModel;
  readonly ports: PortIo;
  /** Absent on a processor without one. */
  readonly apic?: ApicRegisters | undefined;
  /** Linear to guest-physical by the paging mode in force; sets accessed and dirty bits. Checks canonicality first (#GP(0)). */
  translate(linear: bigint, access: Access): PhysAddr | Fault;
  /** Little-endian value at a linear address; may cross pages; MMIO included. */
  readLinear(linear: bigint, size: AccessBytes, access?: Access): bigint | Fault;
  /** Nothing is written unless all of it can be. */
  writeLinear(linear: bigint, size: AccessBytes, value: bigint, access?: Access): Fault | undefined;
  /** Physical reads for page-table-like structures (PAE's PDPTEs). */
  readPhysical(address: PhysAddr, size: AccessBytes): bigint;
  /** Drops cached translations; with `includeGlobal` the global ones too. */
  flushTlb(includeGlobal: boolean): void;
  flushPage(linear: bigint): void;
  /** To be called after any change of CR0, CR4, EFER, CS, CPL or RFLAGS.AC: recomputes MODE64, PAGING_LEVELS, the MMU context and so on. */
  modeChanged(): void;
  /** Guest time stamp counter before IA32_TSC_ADJUST-like offsets; one unit per nanosecond of guest time. */
  timestamp(): bigint;
  /** The instruction under way takes so many ns more than the one that each takes. */
  charge(ns: bigint): void;
  /** What the read of a steady port's byte gave, so that the next one need not ask the chip. @param ns that `steady` told */
  portKnown(port: number, value: number, ns: number): void;
  /** Something happens at a port: what was known of them all is forgotten. */
  portsChange(): void;
  /** Next 64-bit value of the seeded random source behind RDRAND and RDSEED. */
  random(): bigint;
  /** Says once that something the guest asked for is not implemented; counted, part of the outcome. */
  unimplemented(what: string): void;
};
