// What a user hands over, down to the image in it: compressed files are unpacked, unified kernel images opened. What lies in
// it is classified, not read.
import { InputError } from '../bits/errors.ts';
import { type PackedFormat, unpack } from '../unpack/unpack.ts';
import { classify, type FileIdentity } from './classify.ts';
import { packedFormat } from './packed.ts';
import { parseUki, type UnifiedImage } from './uki.ts';

/** Most bytes that an image may unpack to. */
const LARGEST_IMAGE = 512 * 2 ** 20;
/** A kernel, compressed, in a unified image that is itself compressed, and one to spare. */
const MOST_LAYERS = 4;

/** What the image was taken out of. */
export type Layer =
  | { readonly kind: 'compressed'; readonly format: PackedFormat }
  | { readonly kind: 'uki'; readonly uki: UnifiedImage };

export interface OpenedFile {
  /** The file as it was handed over. */
  readonly given: Uint8Array;
  /** The image itself. */
  readonly bytes: Uint8Array;
  readonly identity: FileIdentity;
  /** Outermost first; none where the file is the image. */
  readonly layers: readonly Layer[];
  /** Where the first byte of the image stands in the file; undefined where it was unpacked. */
  readonly fileOffset: number | undefined;
}

/** Throws an InputError where something it has to come out of is damaged. @param limit bytes it may unpack to */
export function openFile(given: Uint8Array, limit = LARGEST_IMAGE): OpenedFile {
  const layers: Layer[] = [];
  let bytes = given;
  let fileOffset: number | undefined = 0;
  while (layers.length < MOST_LAYERS) {
    const identity = classify(bytes);
    if (identity.kind === 'uki') {
      const uki = parseUki(bytes);
      layers.push({ kind: 'uki', uki });
      bytes = uki.kernel.bytes;
      if (fileOffset !== undefined) fileOffset += uki.kernel.fileOffset;
      continue;
    }
    const format = identity.kind === 'other' ? packedFormat(bytes) : undefined;
    if (format === undefined) return { given, bytes, identity, layers, fileOffset };
    bytes = unpackFile(format, bytes, limit);
    fileOffset = undefined;
    layers.push({ kind: 'compressed', format });
  }
  throw new InputError(`this is a file in a file in a file, more than ${MOST_LAYERS} deep`);
}

function unpackFile(format: PackedFormat, bytes: Uint8Array, limit: number): Uint8Array {
  try {
    return unpack(format, bytes, limit);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`this is a file compressed with ${format}, and it cannot be unpacked: ${error.message}`);
  }
}

/** "unpacked from xz", "from the section .linux of a unified kernel image (Debian GNU/Linux 12)"; undefined without layers. */
export function originText(layers: readonly Layer[]): string | undefined {
  if (layers.length === 0) return undefined;
  return layers.map(layerText).reverse().join(', ');
}

function layerText(layer: Layer): string {
  if (layer.kind === 'compressed') return `unpacked from ${layer.format}`;
  const { system } = layer.uki;
  return `from section .linux of a unified kernel image${system === undefined ? '' : ` (${system})`}`;
}

/** The innermost unified kernel image it came out of. */
export function ukiOf({ layers }: Pick<OpenedFile, 'layers'>): UnifiedImage | undefined {
  return layers.flatMap((layer) => (layer.kind === 'uki' ? [layer.uki] : [])).at(-1);
}
