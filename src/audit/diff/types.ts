// What a comparison of two images is made of. Plain data; src/report prints it. GOOD and BAD are the order of the
// command line and no judgement: whatever is said of one holds with the sides exchanged.

/** Most suspicious first; the order is the rank. */
export const DIFFERENCE_KINDS = [
  /** Both mean the same address and come to it in different ways: lea x(%rip) against mov $x. */
  'addressing-mode-of-same-target',
  /** The same instruction, of something else. */
  'different-target',
  /** The same instruction with another number: an immediate, or a displacement. */
  'different-immediate',
  'different-instruction',
  /** Only GOOD has it. */
  'removed',
  /** Only BAD has it. */
  'inserted',
  /** Numbers that follow from sizes and addresses, as far as can be told: no difference in meaning. */
  'layout',
] as const;

export type DifferenceKind = (typeof DIFFERENCE_KINDS)[number];

export const rankOf = (kind: DifferenceKind): number => DIFFERENCE_KINDS.indexOf(kind);

export type Instruction = {
  /** Bytes from the start of the file. */
  readonly fileOffset: number;
  readonly linkAddress: bigint;
  readonly bytes: Uint8Array;
  /** AT&T text. */
  readonly text: string;
  /** What it refers to: a symbol, a function, an address. */
  readonly target?: string;
};

/** A line of two listings side by side. */
export type Row = {
  readonly kind: DifferenceKind | 'equal';
  readonly good?: Instruction;
  readonly bad?: Instruction;
  /** What differs, one sentence, where there is more to say than the kind does. */
  readonly note?: string;
};

/** Rows that stand together, with equal ones around the differing ones. */
export type Hunk = readonly Row[];

export type FunctionPlace = {
  /** Its symbol, where there is one. */
  readonly name?: string;
  readonly linkAddress: bigint;
  /** Of what is compared: padding is none. */
  readonly instructions: number;
};

/** Two functions that were found to be the same one, and differ. */
export type FunctionDifference = {
  readonly good: FunctionPlace;
  readonly bad: FunctionPlace;
  /** Of its most suspicious difference. */
  readonly kind: DifferenceKind;
  /** Instructions that differ, by kind; 'layout' among them. */
  readonly counts: Readonly<Partial<Record<DifferenceKind, number>>>;
  /** How the two were found to be the same function. */
  readonly matchedBy: MatchedBy;
  /** Empty where there are too many functions to show them all. */
  readonly hunks: readonly Hunk[];
};

/** Surest first. */
export type MatchedBy = 'name' | 'content' | 'references' | 'order' | 'similarity';

export type SideFacts = {
  /** For people: "bzImage 6.1.0-56-amd64", "ELF boot stub". */
  readonly what: string;
  /** Bytes of the file. */
  readonly size: number;
  readonly functions: number;
  /** Padding left out. */
  readonly instructions: number;
  /** Whether functions have names. */
  readonly named: boolean;
  /**
   * Bytes of code, padding left out, that neither control flow nor a symbol leads to, and that were not compared; undefined
   * where the file does not say what is code (a bzImage).
   */
  readonly bytesLeft: number | undefined;
};

export type DiffReport = {
  readonly good: SideFacts;
  readonly bad: SideFacts;
  readonly functions: {
    /** Found on both sides. */
    readonly matched: number;
    readonly equal: number;
    /** Of the equal ones: those at another link address. */
    readonly moved: number;
    /** In meaning. */
    readonly differing: number;
    /** That differ in 'layout' only; they count as equal. */
    readonly layoutOnly: number;
  };
  /** Most suspicious first. With layout differences only where they were asked for. */
  readonly differing: readonly FunctionDifference[];
  readonly onlyGood: readonly FunctionPlace[];
  readonly onlyBad: readonly FunctionPlace[];
};
