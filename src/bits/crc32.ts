// The CRC that gzip, xz and arch/x86/boot/tools/build.c use: polynomial 0xedb88320, bits reflected. build.c writes it
// without the final inversion that the others make, so the two steps are apart here.

/** One table for each of four bytes taken at a time ("slicing by four"), as one array. */
const TABLES = makeTables();

function makeTables(): Uint32Array {
  const tables = new Uint32Array(4 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ 0xedb88320;
    tables[byte] = value;
  }
  for (let i = 256; i < tables.length; i++) {
    const before = at(tables, i - 256);
    tables[i] = (before >>> 8) ^ at(tables, before & 0xff);
  }
  return tables;
}

function at(values: Uint32Array | Uint8Array, index: number): number {
  return values[index] as number;
}

/** Goes on from `register` over `bytes`; a fresh one starts with 0xffffffff. Nothing is inverted. */
export function crc32Register(bytes: Uint8Array, register = 0xffffffff): number {
  let crc = register;
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    crc ^= at(bytes, i) | (at(bytes, i + 1) << 8) | (at(bytes, i + 2) << 16) | (at(bytes, i + 3) << 24);
    crc =
      at(TABLES, 768 + (crc & 0xff)) ^
      at(TABLES, 512 + ((crc >>> 8) & 0xff)) ^
      at(TABLES, 256 + ((crc >>> 16) & 0xff)) ^
      at(TABLES, crc >>> 24);
  }
  for (let i = whole; i < bytes.length; i++) crc = (crc >>> 8) ^ at(TABLES, (crc ^ at(bytes, i)) & 0xff);
  return crc >>> 0;
}

/** CRC-32 as gzip and zlib state it: of "123456789" it is 0xcbf43926. */
export function crc32(bytes: Uint8Array): number {
  return ~crc32Register(bytes) >>> 0;
}
