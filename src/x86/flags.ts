// RFLAGS (SDM 1 3.4.3). Bit 1 always reads as one; every bit not named here is reserved and reads as zero.

export const FLAGS = {
  CF: 1,
  PF: 4,
  AF: 0x10,
  ZF: 0x40,
  SF: 0x80,
  TF: 0x100,
  IF: 0x200,
  DF: 0x400,
  OF: 0x800,
  IOPL: 0x3000,
  NT: 0x4000,
  RF: 0x1_0000,
  VM: 0x2_0000,
  AC: 0x4_0000,
  VIF: 0x8_0000,
  VIP: 0x10_0000,
  ID: 0x20_0000,
} as const;

/** The six status flags an arithmetic instruction writes. */
export const STATUS_FLAGS = FLAGS.CF | FLAGS.PF | FLAGS.AF | FLAGS.ZF | FLAGS.SF | FLAGS.OF;
/** Every bit that software can see as anything but its fixed value. */
export const DEFINED_FLAGS =
  STATUS_FLAGS |
  FLAGS.TF |
  FLAGS.IF |
  FLAGS.DF |
  FLAGS.IOPL |
  FLAGS.NT |
  FLAGS.RF |
  FLAGS.VM |
  FLAGS.AC |
  FLAGS.VIF |
  FLAGS.VIP |
  FLAGS.ID;
/** Bit 1, fixed at one. */
export const FLAGS_FIXED = 2;
export const IOPL_SHIFT = 12;
