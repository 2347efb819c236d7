// Which constants may be addresses of the stub, and how likely: decides only what is tried first. The proof decides the
// rest.

import { BSS_ROOM } from '../code/facts.ts';
import type { BzImage } from '../image/bzimage.ts';
import type { Reference } from '../code/references.ts';

/** Bytes of gzip's header without a name, which the stub itself steps over (RFC 1952, 2.3). */
const GZIP_HEADER = 10n;

/** Link addresses of the stub's own code, data and bss: the image without its payload. */
export type Ranges = {
  readonly headEnd: bigint;
  readonly payloadEnd: bigint;
  readonly bodyStart: bigint;
  readonly end: bigint;
  /** The address at which the header wants the kernel: a number that boot code compares with. */
  readonly preferred: bigint;
};

export function rangesOf(image: BzImage): Ranges {
  const { fileOffset, size } = image.protectedMode;
  const end = BigInt(size + BSS_ROOM);
  const preferred = image.header.pref_address;
  if (!image.payload) return { headEnd: 0n, payloadEnd: 0n, bodyStart: 0n, end, preferred };
  const start = image.payload.fileOffset - fileOffset;
  const after = start + image.payload.length;
  return {
    headEnd: BigInt(start),
    payloadEnd: BigInt(after),
    bodyStart: BigInt(afterZeros(image, after)),
    end,
    preferred,
  };
}

/** Where padding behind the payload ends: nothing in it has an address. */
function afterZeros(image: BzImage, from: number): number {
  const { fileOffset, size } = image.protectedMode;
  const body = image.bytes.subarray(fileOffset + from, fileOffset + size);
  const first = body.findIndex((byte) => byte !== 0);
  return first < 0 ? from : from + first;
}

/**
 * How likely a constant is an address of the stub; 0 for not at all. A 7-byte mov of a positive number is a linker's:
 * compilers and assemblers write the 5-byte form. Low addresses look like small numbers, so the other forms need one
 * behind the payload.
 */
export function likelihood({ form, constant }: Reference, ranges: Ranges): number {
  if (constant < 0n || constant >= ranges.end || constant === ranges.preferred) return 0;
  const inBody = constant >= ranges.bodyStart;
  if (form === 'mov-imm32-rex') return inBody ? 5 : constant < ranges.headEnd ? 4 : 3;
  // Where the packed kernel lies and ends is known; whoever unpacks it has these addresses.
  const { headEnd, payloadEnd } = ranges;
  // On a register it is more likely the offset of a field, or a page further.
  const isPayload = form !== 'base-disp32' && [headEnd, headEnd + GZIP_HEADER, payloadEnd].includes(constant);
  if ((!inBody && !isPayload) || constant === 0n) return 0;
  if (form === 'base-disp32') return 1;
  return constant % 4096n === 0n ? 1 : 2;
}
