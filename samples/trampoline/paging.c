/*
 * paging_prepare() and paging_finish(): what has to happen around the way through 32-bit mode. In an object file of its
 * own, so that trampoline_32bit_src is a function of another file: with -fPIE gcc takes the address of such a function
 * from the GOT (R_X86_64_REX_GOTPCRELX), and leaves it to the linker to make a shorter way of it.
 */
#include "stub.h"

/* Never called: only its bytes are wanted, in low memory. */
#ifdef COMPARE
/* Known to be in the same link, so no GOT and no choice for the linker: samples/compare has another fault. */
__attribute__((visibility("hidden")))
#endif
void trampoline_32bit_src(void);

static struct trampoline {
	unsigned char *memory;
	unsigned long five_levels;
	int changed;
} way;
static unsigned char saved[TRAMPOLINE_SIZE];
static u64 top_pgtable[512] __attribute__((aligned(4096)));

static int cpu_has_la57(void)
{
	u32 a = 0, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (a < 7)
		return 0;
	a = 7;
	c = 0;
	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return (c >> 16) & 1;
}

static int five_levels_now(void)
{
	u64 cr4;

	asm volatile("mov %%cr4, %0" : "=r"(cr4));
	return (cr4 >> CR4_LA57_BIT) & 1;
}

static int command_line_has(const unsigned char *boot_params, const char *word)
{
	u64 at = *(const u32 *)(boot_params + BP_CMD_LINE_PTR) | (u64)*(const u32 *)(boot_params + BP_EXT_CMD_LINE_PTR) << 32;
	const char *text = (const char *)at;

	if (!at)
		return 0;
	while (*text) {
		const char *want = word;

		while (*want && *text == *want) {
			text++;
			want++;
		}
		if (!*want && (*text == 0 || *text == ' '))
			return 1;
		while (*text && *text != ' ')
			text++;
		while (*text == ' ')
			text++;
	}
	return 0;
}

/* The end of usable memory below 640 KiB: what the BIOS data area says, within what the memory map calls usable. */
static unsigned long low_memory_end(const unsigned char *boot_params)
{
	unsigned long ebda = (unsigned long)*(volatile unsigned short *)0x40e << 4;
	unsigned long end = (unsigned long)*(volatile unsigned short *)0x413 << 10;
	unsigned i, entries = boot_params[BP_E820_ENTRIES];

	if (end < 0x20000 || end > 0x9f000)
		end = 0x9f000;
	if (ebda >= 0x20000 && ebda < end)
		end = ebda;
	for (i = 0; i < entries; i++) {
		const unsigned char *entry = boot_params + BP_E820_TABLE + 20 * i;
		u64 start = *(const u64 *)entry, size = *(const u64 *)(entry + 8);

		if (*(const u32 *)(entry + 16) == 1 && start < end && start + size > TRAMPOLINE_SIZE && start + size < end)
			end = start + size;
	}
	return end & ~0xffful;
}

/* Page 0 of the trampoline's memory: a top page table for the other number of levels, around the tables in use. */
static void prepare_top_pgtable(u64 *top, int five_levels)
{
	u64 cr3;

	asm volatile("mov %%cr3, %0" : "=r"(cr3));
	cr3 &= PHYSICAL_MASK;
	memset(top, 0, 4096);
	if (five_levels)
		top[0] = cr3 | 3;
	else
		memcpy(top, (const void *)(*(const u64 *)cr3 & PHYSICAL_MASK), 4096);
}

struct paging_config paging_prepare(const unsigned char *boot_params)
{
	way.five_levels = cpu_has_la57() && !command_line_has(boot_params, "no5lvl");
	way.memory = (unsigned char *)(low_memory_end(boot_params) - TRAMPOLINE_SIZE);
	way.changed = way.five_levels != (unsigned long)five_levels_now();

	memcpy(saved, way.memory, TRAMPOLINE_SIZE);
	memset(way.memory, 0, TRAMPOLINE_SIZE);
	memcpy(way.memory + TRAMPOLINE_CODE_OFFSET, &trampoline_32bit_src, TRAMPOLINE_CODE_SIZE);
	if (way.changed)
		prepare_top_pgtable((u64 *)way.memory, way.five_levels);
	return (struct paging_config){ way.memory, way.five_levels };
}

/* Gives the low memory back: what lay there, and the top page table moves into the stub. */
void paging_finish(void)
{
	if (way.changed) {
		memcpy(top_pgtable, way.memory, 4096);
		asm volatile("mov %0, %%cr3" : : "r"(top_pgtable) : "memory");
	}
	memcpy(way.memory, saved, TRAMPOLINE_SIZE);
}

int paging_levels(void)
{
	return five_levels_now() ? 5 : 4;
}
