/** Bytes from hex text with blanks. */
export const bytesOfHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
