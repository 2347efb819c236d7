// The image changed before it is loaded: bytes of the file, or a field of its setup header by name.

import { InputError } from '../../bits/errors.ts';
import { hex } from '../../bits/hex.ts';
import { viewOf } from '../../bits/cursor.ts';
import { HEADER_MAGIC, putHeaderField, SETUP_HEADER_FIELDS, type SetupHeaderField } from '../../image/setup-header.ts';
import type { Kind } from './kind.ts';
import { bytesOf, bytesText, numberOf, oneOf, smallNumberOf, split } from './text.ts';

export type ImageBytes = { readonly kind: 'image'; readonly fileOffset: number; readonly bytes: Uint8Array };
export type HeaderField = { readonly kind: 'header'; readonly field: SetupHeaderField; readonly value: bigint };

export const image: Kind<ImageBytes> = {
  form: 'OFFSET=BYTES',
  help: 'puts bytes (hexadecimal) into the file, before it is loaded',
  parse(text) {
    const [offset, bytes] = split(text, '=', this.form);
    return { kind: 'image', fileOffset: smallNumberOf(offset), bytes: bytesOf(bytes) };
  },
  text: ({ fileOffset, bytes }) => `${hex(fileOffset)}=${bytesText(bytes)}`,
  before({ fileOffset, bytes }, to) {
    if (fileOffset + bytes.length > to.bytes.length) {
      throw new InputError(
        `the image has ${to.bytes.length} bytes, none at offset ${hex(fileOffset + bytes.length - 1)}`,
      );
    }
    to.bytes.set(bytes, fileOffset);
  },
};

const FIELDS = SETUP_HEADER_FIELDS.map(({ name }) => name);
const sizeOf = (field: SetupHeaderField): number =>
  SETUP_HEADER_FIELDS.find(({ name }) => name === field)?.size as number;
const MAGIC_OFFSET = 0x202;

export const header: Kind<HeaderField> = {
  form: 'FIELD=VALUE',
  help: 'sets a field of the setup header in the file, before it is loaded',
  parse(text) {
    const [name, value] = split(text, '=', this.form);
    const field = oneOf(name, FIELDS);
    return { kind: 'header', field, value: numberOf(value, (1n << BigInt(8 * sizeOf(field))) - 1n) };
  },
  text: ({ field, value }) => `${field}=${hex(value)}`,
  before({ field, value }, to) {
    const isThere = to.bytes.length > 0x400 && viewOf(to.bytes).getUint32(MAGIC_OFFSET, true) === HEADER_MAGIC;
    if (!isThere) throw new InputError('only a bzImage has a setup header');
    putHeaderField(to.bytes, field, value);
  },
};
