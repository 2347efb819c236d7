// What code is decoded for: a page of it, seen in one mode at one address.

/** How code is to be decoded: 64-bit mode, or a code segment of 16 or 32 bits. */
export type Bitness = 16 | 32 | 64;

/** How code is decoded and addressed; contexts of different modes never mix. */
export type CodeMode = {
  readonly bitness: Bitness;
  /** What is added to the instruction pointer: CS base, 0 in 64-bit mode. */
  readonly base: bigint;
  /** Highest instruction pointer value allowed (CS limit); all ones in 64-bit mode. */
  readonly limit: bigint;
  /** XMM registers may be used. */
  readonly sse: boolean;
  /** There are VEX prefixes: this is neither real nor virtual-8086 mode. */
  readonly vex: boolean;
  /** YMM registers may be used. */
  readonly avx: boolean;
};

export type Context = {
  readonly address: number;
  /** Host page it decodes, and its physical address. */
  readonly hostPage: number;
  readonly physicalPage: number;
  /** Instruction pointer of the page's first byte. */
  readonly ip: bigint;
  readonly mode: CodeMode;
  readonly key: string;
  /** Pages that bytes of instructions at the page's end were taken from, by where these start. */
  readonly crossings: Map<number, CodePage>;
  /** Where instructions start that are not decoded yet, but whose lines were taken with those before them. */
  readonly taken: Set<number>;
};

/** Where a page of code is: what a fetch translation gives. */
export type CodePage = { readonly hostPage: number; readonly physicalPage: number };

/** A page of code that somebody was told of. */
export type Told = Pick<Context, 'hostPage' | 'ip' | 'mode'>;

/** What an engine has taken as code, as far as it shows; codeCache.ts says where. */
export type SavedCode = {
  /** Lines taken so far. */
  readonly lines: number;
  /** Of each host page with lines: the map of them. */
  readonly pages: readonly (readonly [hostPage: number, lines: bigint])[];
  /** What was told of pages with code. */
  readonly told: readonly Told[];
};
