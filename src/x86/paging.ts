// Bits of paging-structure entries and of the page-fault error code (SDM 3A 4.3 to 4.7).

export const PTE_P = 1n << 0n;
export const PTE_RW = 1n << 1n;
export const PTE_US = 1n << 2n;
export const PTE_PWT = 1n << 3n;
export const PTE_PCD = 1n << 4n;
export const PTE_A = 1n << 5n;
export const PTE_D = 1n << 6n;
/** Page size: set in a PDE (4M or 2M) or PDPTE (1G) that maps a page; in a PTE the same bit is PAT. */
export const PTE_PS = 1n << 7n;
export const PTE_PAT = 1n << 7n;
/** PAT of a 2M, 4M or 1G page. */
export const PDE_PAT = 1n << 12n;
export const PTE_G = 1n << 8n;
export const PTE_NX = 1n << 63n;
/** Physical address in a 64-bit entry, before MAXPHYADDR takes its share away. */
export const PTE_ADDRESS = 0x000f_ffff_ffff_f000n;

/** Reserved in a present PAE PDPTE: bits 1-2 and 5-8; bits from MAXPHYADDR up come on top (SDM 3A table 4-8). */
export const PDPTE_PAE_RESERVED = 0x1e6n;

export const PF_P = 1;
export const PF_W = 2;
export const PF_U = 4;
export const PF_RSVD = 8;
export const PF_I = 16;

/** Why a walk stopped, from a page fault's error code, in words. */
export const describePageFault = (error: number): string => {
  const who = error & PF_U ? 'user' : 'supervisor';
  const what = error & PF_I ? 'fetch' : error & PF_W ? 'write' : 'read';
  if (error & PF_RSVD) return `${who} ${what}: reserved bit set in a paging entry`;
  return error & PF_P ? `${who} ${what}: page present, access not allowed` : `${who} ${what}: page not present`;
};
