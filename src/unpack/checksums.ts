// The checksums that packed formats carry, beside the CRC-32 that is in bits. 32-bit values are returned unsigned.

/** CRC-32 of IEEE 802.3, most significant bit first: bzip2. */
const CRC32_FORWARD_POLYNOMIAL = 0x04c1_1db7;
/** CRC-64 of ECMA-182, reflected: xz. */
const CRC64_POLYNOMIAL = 0xc96c_5795_d787_0f42n;

const CRC32_FORWARD_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte << 24;
  for (let bit = 0; bit < 8; bit++) rest = (rest << 1) ^ (rest < 0 ? CRC32_FORWARD_POLYNOMIAL : 0);
  return rest;
});

/** Pairs of words, low first. */
const CRC64_TABLE = new Int32Array(512);
for (let byte = 0; byte < 256; byte++) {
  let rest = BigInt(byte);
  for (let bit = 0; bit < 8; bit++) rest = (rest >> 1n) ^ (rest & 1n ? CRC64_POLYNOMIAL : 0n);
  CRC64_TABLE[2 * byte] = Number(rest & 0xffff_ffffn);
  CRC64_TABLE[2 * byte + 1] = Number(rest >> 32n);
}

/** The CRC of bzip2's blocks. */
export function crc32Forward(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = (crc << 8) ^ CRC32_FORWARD_TABLE[(crc >>> 24) ^ bytes[i]!]!;
  return ~crc >>> 0;
}

export function crc64(bytes: Uint8Array): bigint {
  let low = -1;
  let high = -1;
  for (let i = 0; i < bytes.length; i++) {
    const entry = ((low ^ bytes[i]!) & 0xff) << 1;
    low = ((low >>> 8) | (high << 24)) ^ CRC64_TABLE[entry]!;
    high = (high >>> 8) ^ CRC64_TABLE[entry + 1]!;
  }
  return (BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0);
}

const ADLER_MODULUS = 65521;
/** As many bytes as the sums take without leaving 32 bits. */
const ADLER_STRETCH = 5552;

/** Adler-32 (RFC 1950, section 9): lzop. */
export function adler32(bytes: Uint8Array): number {
  let sum = 1;
  let sumOfSums = 0;
  for (let from = 0; from < bytes.length; from += ADLER_STRETCH) {
    const to = Math.min(bytes.length, from + ADLER_STRETCH);
    for (let i = from; i < to; i++) {
      sum += bytes[i]!;
      sumOfSums += sum;
    }
    sum %= ADLER_MODULUS;
    sumOfSums %= ADLER_MODULUS;
  }
  return ((sumOfSums << 16) | sum) >>> 0;
}
