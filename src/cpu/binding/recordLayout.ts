// Record of one decoded instruction: 32 bytes; the next instruction's record follows. What a field holds is the decoder's
// business and the dynamic binding's (records.ts); semantics know nothing of it.

export const RECORD_BYTES = 32;
export const REC_HANDLER = 0; // u16
/** u8: bits 0-1 log2 of the index scale, bits 2-4 segment register, bit 5 address size 32, bit 6 address size 16. */
export const REC_ADDRESSING = 2;
export const REC_LENGTH = 3; // u8, bytes of the instruction
export const REC_REG1 = 4; // u16, address of a register
export const REC_REG2 = 6; // u16
export const REC_BASE = 8; // u16
export const REC_INDEX = 10; // u16
/** u32: offset in the page (12 bits) and the code context's address shifted right by 8 (20 bits). */
export const REC_WHERE = 12;
export const REC_DISP = 16; // i64; absolute where the operand is RIP-relative
/** i64: immediate, sign-extended; for direct branches the target's record (u32, 0 while unknown) and at +4 nothing. */
export const REC_IMM = 24;

export const ADDRESSING_SCALE = 3;
export const ADDRESSING_SEGMENT_SHIFT = 2;
export const ADDRESSING_32 = 32;
export const ADDRESSING_16 = 64;
