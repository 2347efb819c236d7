// Where everything lives in the machine's one linear WebAssembly memory. Host address 0 is never valid, so 0 means "none".
// The first 64 KiB hold the processor's state, so that a decoded record can name a register in 16 bits.
// Nothing here is guest-visible by address; guest RAM starts at RAM_BASE and is handed out in chunks as the guest touches it.

import type { MsrSlot } from '../../x86/msr.ts';

/** Processors that a machine has. */
export const PROCESSORS = 1;
/** Bytes of a processor's state block. The addresses below are those of processor 0, and so is what generated code names. */
export const STATE_BLOCK = 0x10000;
/** What is added to them for the processor of a number. Throws RangeError where there is no such processor. */
export function stateBlock(processor: number): number {
  if (!Number.isInteger(processor) || processor < 0 || processor >= PROCESSORS) {
    throw new RangeError(`there is no processor ${processor}`);
  }
  return processor * STATE_BLOCK;
}

/** General registers RAX..R15 in encoding order, 8 bytes each; the byte address of AH is RAX's plus 1. */
export const REGS = 0x100;
/** Always zero: what a record names as base or index register when the operand has none. */
export const ZERO = 0x180;
/** Instruction pointer: the offset in CS (RIP, EIP or IP), zero-extended. Valid whenever no engine function is running. */
export const RIP = 0x188;

// Arithmetic flags are kept as the values they follow from; see semantics/flags.ts.
/** i64: ZF = (value == 0). */
export const FLAG_ZR = 0x190;
/** i64: SF = sign of it, PF = even parity of its low byte. */
export const FLAG_SR = 0x198;
/** i64 carry vector, top-aligned: CF = bit 63, OF = bit 63 xor bit 62. */
export const FLAG_CV = 0x1a0;
/** i64: AF = bit 4. */
export const FLAG_AR = 0x1a8;
/** i32: every other RFLAGS bit (TF, IF, DF, IOPL, NT, RF, VM, AC, VIF, VIP, ID), in its architectural place. */
export const FLAGS_REST = 0x1b0;

// What an engine function leaves behind when it stops.
/** i32: vector of a pending fault, or FAULT_NONE. */
export const FAULT_VECTOR = 0x1b8;
/** i32: error code of the pending fault, or -1 where the vector has none. */
export const FAULT_ERROR = 0x1bc;
/** i64: linear address for CR2 (page faults only). */
export const FAULT_ADDRESS = 0x1c0;
/** i32: why the run loop stopped (EXIT below). */
export const EXIT_REASON = 0x1c8;
/** i32: record to start from, or where an engine function stopped. */
export const PC = 0x1cc;
/** i64: linear... offset of a branch target that has to be looked up. */
export const TARGET = 0x1d0;
/** i32: record of a branch target that is already decoded. */
export const NEXT_PC = 0x1d8;
/** i32: instructions left of the budget when an engine function stopped (negative is never seen). */
export const COUNT = 0x1dc;
/** i64: guest-physical address and, at WATCH_SIZE and WATCH_KIND, the size and kind of the access that hit a watched page. */
export const WATCH_ADDRESS = 0x1e0;
export const WATCH_SIZE = 0x1e8;
export const WATCH_KIND = 0x1ec;
/** i32: while not 0, watched pages and pages that hold code are accessed without stopping (one instruction is being stepped over). */
export const WATCH_BYPASS = 0x1f0;
/** What the instruction under way may touch without leaving: nothing, watched pages, those and decoded code and devices. */
export const BYPASS = { NOTHING: 0, WATCHES: 1, ALL: 2 } as const;
export type Bypass = (typeof BYPASS)[keyof typeof BYPASS];
/** i32: ns that instructions of the engine call under way took beyond the one each takes; 0 outside of it. */
export const DELAY = 0x1f4;
/** i64: guest ns between TSC_START and the end of the budget of the engine call under way. */
export const TSC_SINCE = 0x1f8;

// Segment registers ES CS SS DS FS GS, then LDTR and TR: 32 bytes each.
export const SEGMENTS = 0x200;
export const SEGMENT_STRIDE = 32;
/** u64 base, u32 limit (in bytes, granularity applied), u32 attributes (descriptor bits 40..55, shifted down), u16 selector. */
export const SEG_BASE = 0;
export const SEG_LIMIT = 8;
export const SEG_ATTRIBUTES = 12;
export const SEG_SELECTOR = 16;
/** GDTR and IDTR: u64 base, u32 limit. */
export const GDTR = 0x300;
export const IDTR = 0x310;

export const CR0 = 0x320;
export const CR2 = 0x328;
export const CR3 = 0x330;
export const CR4 = 0x338;
export const CR8 = 0x340;
export const EFER = 0x348;
export const XCR0 = 0x350;
/** i32: 1 from the delivery of an NMI to the next IRET: no other NMI is taken (SDM 3A 6.7.1). */
export const NMI_BLOCKED = 0x358;
/** u32: highest instruction pointer value that CS allows; all ones in 64-bit mode, where no limit holds. */
export const CODE_LIMIT = 0x35c;
export const DR0 = 0x360; // DR0..DR7, 8 bytes each
/** u32: current privilege level. */
export const CPL = 0x3a0;
/** i32: 16 or 7, how far a canonical address shifts left and back without change (48 or 57 bits). */
export const CANONICAL_SHIFT = 0x3a4;
/** i32: 1 in 64-bit mode (EFER.LMA and CS.L), else 0. */
export const MODE64 = 0x3a8;
/** i32: number of paging levels in force: 0 none, 2, 3 (PAE), 4, 5. */
export const PAGING_LEVELS = 0x3ac;
/** i32: not 0 while the next instruction boundary takes no interrupt (after STI, MOV SS, POP SS); microcode/shadow.ts says what is in it. */
export const INTERRUPT_SHADOW = 0x3b0;
/** i32: 1 while the processor is halted. */
export const HALTED = 0x3b4;
/** i64: the time stamp counter, less IA32_TSC_ADJUST, when the engine was last told to run. */
export const TSC_START = 0x3b8;
/** PAE paging keeps its four PDPTEs in registers (SDM 3A 4.4.1). */
export const PDPTE0 = 0x3c0; // 4 x u64
/** i64: bits that must be zero in any paging entry: MAXPHYADDR..51. */
export const RESERVED_PHYS_MASK = 0x3e0;
/** i64: what is added to the instruction pointer to make a linear address: CS base, 0 in 64-bit mode. */
export const CODE_BASE = 0x3e8;
/** i32: 1 where 1 GiB pages exist (CPUID). */
export const HAS_1G_PAGES = 0x3f0;
/** i32: 1 where RDTSCP exists (CPUID). */
export const HAS_RDTSCP = 0x3fc;
/** i32: byte offset of the MMU context in force (a multiple of TLB_SET_BYTES). */
export const MMU_CONTEXT = 0x3f4;
/** i32: bits that the stack pointer keeps: 64, 32 or 16. */
export const STACK_BITS = 0x3f8;

/** Model-specific registers that are plain storage: 8 bytes for each slot of x86/msr.ts. */
export const MSRS = 0x400;
export const msrAddress = (slot: MsrSlot): number => MSRS + 8 * slot;
/** u64: 1 more than the instructions retired when an exception was last delivered, 0 before the first. */
export const DELIVERED = 0xbf8;

/** x87 and SSE state in the form FXSAVE writes (512 bytes). */
export const FXSTATE = 0xc00;
/** x87 status word and abridged tags; ST(0)..ST(7), 16 bytes each. */
export const FSW = FXSTATE + 2;
export const FTW = FXSTATE + 4;
export const ST0 = FXSTATE + 32;
export const MXCSR = FXSTATE + 24;
/** XMM0..XMM15, 16 bytes each. */
export const XMM = FXSTATE + 160;
export const XMM_END = XMM + 16 * 16;
export const xmmAddress = (index: number): number => XMM + 16 * index;
/** Upper halves of YMM0..YMM15, 16 bytes each, and how far each is from its lower half. */
export const YMM_HIGH = FXSTATE + 512;
export const TO_YMM_HIGH = YMM_HIGH - XMM;

/** End of the architectural state: everything below is hashed and saved as it is. */
export const STATE_END = 0x1000;

/** Scratch for engine functions. */
export const SCRATCH = 0x1000;

/**
 * Ports whose next byte is known: what their last read gave, which another read would give again and change nothing by. An
 * entry is u32 port with PORT_KNOWN, u32 value, i32 ns that the read takes in all; a port has its place by its low bits.
 */
export const KNOWN_PORTS = 0x1800;
export const KNOWN_PORT_COUNT = 16;
export const KNOWN_PORT_BYTES = 16;
export const PORT_KNOWN = 0x10000;
export const PORT_VALUE = 4;
export const PORT_NS = 8;

/** A page of 0xff: what is fetched where nothing answers. */
export const VOID_PAGE = 0x2000;

/**
 * Linear regions of 2 MiB and of 1 GiB in which a translation of a page of 2 MiB, or of more, may be cached: a byte each,
 * indexed by the address's low region bits. What INVLPG drops depends on it (SDM 3A 4.10.4.1).
 */
export const LARGE_REGIONS = 0x8000;
export const HUGE_REGIONS = 0x9000;
export const REGION_COUNT = 4096;

export const FAULT_NONE = -1;
/** Values of FAULT_VECTOR above the architectural ones. A non-canonical address: #SS or #GP by the segment used. */
export const FAULT_NONCANONICAL = 0x10d;
/** A watched page was touched; nothing happened yet. */
export const FAULT_WATCH = 0x200;
/** A store to decoded code; nothing happened yet. */
export const FAULT_CODE_STORE = 0x201;
/** The guest touched more RAM than the host gives it; nothing happened yet. */
export const FAULT_MEMORY_FULL = 0x202;
/** Not a fault either: the access reaches a device that has to see the exact time. */
export const FAULT_DEVICE = 0x203;

/**
 * Guest time in ns of the instructions that loops wait with. No manual says how long they take: PAUSE 40 to 140 clocks on
 * processors of 3 GHz, RDTSC 20 to 40.
 */
export const PAUSE_NS = 40;
export const RDTSC_NS = 20;
/** CPUID serializes; RDMSR and WRMSR, which also wait for a chip's register, take some 100 clocks and more. */
export const CPUID_NS = 100;
export const MSR_NS = 50;

/** Why an engine function returned. */
export const EXIT = { BUDGET: 0, FAULT: 1, MICRO: 2, MISS: 3, STALE: 4, PROBE: 5 } as const;

// Translation caches: part of the machine as it is specified, since what is cached shows in accessed and dirty bits and in
// what a guest sees that changed its tables and told nobody (SDM 3A 4.8, 4.10.2.2). So every engine has these, fills them at
// the same accesses, and drops from them the same: mmu/translations.ts has the rules.
// A set for each MMU context; in it one direct-mapped table each for reads, writes and fetches, indexed by the lowest bits of
// the page's number. Entry: i64 page of linear address (or TLB_EMPTY), with TLB_LOOK where engines may not use it without a
// look; then i32: for reads and writes host address minus linear address (mod 2^32), for fetches the page's code context;
// u32: for reads and writes the physical page's number.
export const TLB = 0x10000;
export const TLB_ENTRIES = 2048;
export const TLB_ENTRY_BYTES = 16;
export const TLB_TABLE_BYTES = TLB_ENTRIES * TLB_ENTRY_BYTES;
export const TLB_READ = 0;
export const TLB_WRITE = TLB_TABLE_BYTES;
export const TLB_FETCH = 2 * TLB_TABLE_BYTES;
export const TLB_SET_BYTES = 3 * TLB_TABLE_BYTES;
/** MMU contexts: supervisor, user, supervisor with RFLAGS.AC set under SMAP. */
export const MMU_CONTEXTS = 3;
/**
 * One more behind them: user with alignment checks on (SDM 3A 6.15, #AC). Its read and write tables are never filled, so
 * that every access takes the slow path, which looks.
 */
export const ALIGNED_CONTEXT = MMU_CONTEXTS * TLB_SET_BYTES;
/** No page address has its low bits set, so an entry with this tag never matches. */
export const TLB_EMPTY = 1n;
/**
 * In a tag: the translation holds, but something about the page has to be seen to, by the slow path or by the host (it is
 * watched, holds code, is ROM; its flags were cleared; its code is not decoded). None of it shows.
 */
export const TLB_LOOK = 2n;
export const TLB_HOST = 8;
export const TLB_PHYSICAL = 12;

/** Guest-physical space is mapped by 64 KiB chunk: u32 host address, or one of the CHUNK_ values. */
export const CHUNK_TABLE = 0x100000;
export const CHUNK_BITS = 16;
export const CHUNK_BYTES = 1 << CHUNK_BITS;
/** 64 GiB: guest-physical addresses from here on have no RAM. */
export const PHYS_LIMIT = 64 * 2 ** 30;
export const CHUNK_COUNT = PHYS_LIMIT / CHUNK_BYTES;
/** Nothing answers there (or a device does: the machine's MMIO bus decides). */
export const CHUNK_NONE = 0;
/** RAM which nobody has touched yet; it reads as zeros. */
export const CHUNK_UNTOUCHED = 1;

/** One byte for each 4 KiB of host memory: PAGE_ bits. */
export const PAGE_FLAGS = 0x500000;
/** Some bytes of the page have been decoded: stores look at the granule map. */
export const PAGE_CODE = 1;
export const PAGE_WATCH_READ = 2;
export const PAGE_WATCH_WRITE = 4;
export const PAGE_WATCHES = PAGE_WATCH_READ | PAGE_WATCH_WRITE;
/** The guest stored into the page since the flag was last cleared (set when a write translation is filled). */
export const PAGE_WRITTEN = 8;
/** As PAGE_WRITTEN, for another reader who clears it at another time. */
export const PAGE_FRESH = 32;
/** The guest read from the page since the flag was last cleared (set when a read translation is filled). */
export const PAGE_READ = 64;
/** Stores are ignored (ROM). */
export const PAGE_ROM = 16;
/**
 * Its bytes may differ from what they were when the flag was last cleared: stores, as for PAGE_WRITTEN, but also accessed and
 * dirty bits that a page walk set, and what the host wrote. For whoever keeps versions of pages.
 */
export const PAGE_CHANGED = 128;
/** What a store sets. */
export const PAGE_STORED = PAGE_WRITTEN | PAGE_FRESH | PAGE_CHANGED;

/** For each page of host memory a 64-bit map of its 64-byte granules that hold decoded code. */
export const CODE_GRANULES = 0x600000;

/** Decoded code: code contexts and records. */
export const ARENA = 0x1000000;
export const ARENA_END = 0x5000000;
/** Guest RAM chunks, from here to the end of the memory. */
export const RAM_BASE = ARENA_END;

// A code context is what is known of one page of code at one linear address in one mode.
/** i64: instruction-pointer value of the page's first byte (linear address less CS base). */
export const CTX_IP = 0;
/** u32: changes whenever the page's decoded code is dropped. */
export const CTX_GENERATION = 8;
/** u32[4096]: record of the instruction that starts at that byte of the page, or 0. */
export const CTX_SLOTS = 256;
export const CTX_BYTES = CTX_SLOTS + 4096 * 4;
export const CTX_ALIGNMENT = 256;

export const regAddress = (index: number): number => REGS + 8 * index;
export const segmentAddress = (index: number): number => SEGMENTS + SEGMENT_STRIDE * index;
