#ifndef STUB_H
#define STUB_H

#include "layout.h"

typedef unsigned int u32;
typedef unsigned long u64;

/* Bits 51:12 of a page-table entry or CR3. */
#define PHYSICAL_MASK 0x000ffffffffff000ul

/* Returned in RAX and RDX. */
struct paging_config {
	unsigned char *trampoline;
	unsigned long five_levels;
};

struct paging_config paging_prepare(const unsigned char *boot_params);
void paging_finish(void);
int paging_levels(void);

void *memcpy(void *to, const void *from, unsigned long size);
void *memset(void *to, int value, unsigned long size);

void serial_start(void);
void print(const char *text);
void print_hex(u64 value);

#endif
