import type { Reader } from '../bits/cursor.ts';
import type { Output } from './output.ts';

/** One way to pack bytes. */
export interface Format {
  /** "the xz data" */
  readonly what: string;
  /**
   * Whether a stream of it starts at `at`; undefined for a format without a magic number, which is then the whole file.
   */
  readonly startsAt?: (bytes: Uint8Array, at: number) => boolean;
  /** Unpacks the stream that starts at `at` and returns the offset of its end. Throws InputError only. */
  readonly unpackAt: (source: Reader, at: number, output: Output) => number;
}
