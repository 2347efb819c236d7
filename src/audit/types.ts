// What an audit is made of. Plain data: reports print it, JSON and SARIF carry it. Nothing here was found by running.

import type { RuleId } from '../words/rules.ts';

export type { RuleId };

/** A note is worth knowing and no fault: it alone leaves the exit code 0. */
export type Severity = 'error' | 'warning' | 'note';

export type Confidence = 'high' | 'medium' | 'low';

/** What a reference leads to. */
export type Target = {
  readonly linkAddress: bigint;
  /** Its symbol, `name` or `name+0x1c`, where symbols are known. */
  readonly symbol?: string;
  /** What lies there, in a few words: "start of a function", "start of .data". */
  readonly what?: string;
};

export type Finding = {
  readonly rule: RuleId;
  readonly severity: Severity;
  readonly confidence: Confidence;
  /** What is wrong, one sentence with a full stop, understood without the other fields. */
  readonly message: string;
  /** What the confidence rests on, one paragraph. */
  readonly reason: string;
  /** Bytes from the start of the file, for an archive of the archive. */
  readonly fileOffset?: number;
  /** As the file's own linker counted: 0 is the start of the protected-mode part of a bzImage. */
  readonly linkAddress?: bigint;
  readonly bytes?: Uint8Array;
  /** AT&T text of the instruction, or what else the bytes are. */
  readonly text?: string;
  /** Where it stands: `name+0x1c` of the code, "member.o, .text+0x1c" of an object. */
  readonly place?: string;
  readonly target?: Target;
  /** How the relocation in the object file reads that this came from: "R_X86_64_REX_GOTPCRELX, of ...". */
  readonly relocation?: string;
  /** Which linker makes this form of it, and when. */
  readonly decision?: string;
  /** What to put in its place, as long as it is; undefined where there is no such thing, or nothing to repair. */
  readonly repair?: { readonly bytes: Uint8Array; readonly text: string };
  /** Paragraphs, each a line. */
  readonly advice?: string;
};

/** What was looked at, so that "no findings" says of how much. Counts of instructions are of distinct addresses. */
export type Coverage = {
  /** Instructions found by following control flow from the entry points, by the width of their mode. */
  readonly followed: { readonly 16: number; readonly 32: number; readonly 64: number };
  /** Instructions that only the linear sweep found. */
  readonly swept: number;
  /** Immediate operands, and absolute addresses of memory operands, held against the link range. */
  readonly constants: number;
  /** Aligned words of data held against the link range. */
  readonly dataWords: number;
};

/** One relocation of an object file, and what the linkers make of it. */
export type LinkPrediction = {
  readonly object: string;
  readonly section: string;
  readonly offset: bigint;
  /** The psABI's name, "R_X86_64_REX_GOTPCRELX". */
  readonly relocation: string;
  readonly symbol: string;
  readonly addend: bigint;
  /** The instruction it stands in, AT&T text; undefined in data. */
  readonly text?: string;
  /** By linker and output; what stands there afterwards, in the words of LinkResult. */
  readonly results: Readonly<Record<Linker, { readonly pie: LinkResult; readonly noPie: LinkResult }>>;
  /** Linkers whose output without -pie is position-dependent while the one with -pie is not. */
  readonly breaksWithoutPie: readonly Linker[];
};

export type Linker = 'bfd' | 'gold' | 'lld' | 'mold';

/** What a linker leaves of a reference. */
export type LinkResult =
  /** The address computed from RIP: lea, or PC-relative as written. */
  | 'pc-relative'
  /** Through the GOT, whose slot is final at link time: right only at the link address unless somebody adjusts it. */
  | 'got'
  /** Through the GOT, with an R_X86_64_RELATIVE left for whoever relocates. */
  | 'got-relative'
  /** An absolute number, 32 or 64 bits: position-dependent, unless the symbol is itself a number that does not move. */
  | 'absolute'
  /** An absolute number with a run-time relocation left for it. */
  | 'absolute-relative'
  /** The linker refuses. */
  | 'error';

export type AuditedKind = 'bzImage' | 'linux-program' | 'stub' | 'vmlinux' | 'program' | 'object' | 'archive';

export type AuditReport = {
  readonly kind: AuditedKind;
  /** Bytes of the file. */
  readonly size: number;
  /** What it is, for people: "bzImage 6.1.0-56-amd64 (boot protocol 2.15)". */
  readonly what: string;
  /** Errors and warnings, most certain first. */
  readonly findings: readonly Finding[];
  readonly notes: readonly Finding[];
  readonly coverage?: Coverage;
  /** For objects and archives. */
  readonly predictions?: readonly LinkPrediction[];
};
