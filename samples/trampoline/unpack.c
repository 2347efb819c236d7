/* unpack_kernel(): says where the stub stands, puts the payload at its run address and returns that address. */
#include "stub.h"

extern const unsigned char payload[], payload_end[], _end[];

/*
 * A 2 MiB aligned address at or above pref_address within the memory that init_size promises: below pref_address the
 * runtime start is pref_address itself, else it is the load address rounded up (boot protocol, init_size).
 */
static u64 run_address(u64 load)
{
	u64 end = (u64)_end;
	u64 start = load > PREF_ADDRESS ? load : PREF_ADDRESS;

	start = (start + KERNEL_ALIGNMENT - 1) & ~(KERNEL_ALIGNMENT - 1ul);
	if (start < end && load < start + (u64)(payload_end - payload))
		start = (end + KERNEL_ALIGNMENT - 1) & ~(KERNEL_ALIGNMENT - 1ul);
	return start;
}

void *unpack_kernel(u64 load)
{
	u64 run = run_address(load);

	serial_start();
	print("Firstlight sample stub, loaded at ");
	print_hex(load);
	print(paging_levels() == 5 ? ", 5-level paging\n" : ", 4-level paging\n");
	print("Copying the kernel to ");
	print_hex(run);
	print("\n");
	return memcpy((void *)run, payload, payload_end - payload);
}
