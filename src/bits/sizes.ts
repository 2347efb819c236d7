// Powers of 1024 that memory and files are counted in. A page is in address.ts.

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
