/* ANSWER is 42 in the good build and 43 in the bad one: the only difference. */
static volatile unsigned char *const screen = (volatile unsigned char *)0xb8000;

static __attribute__((noinline)) int show(int number)
{
	screen[0] = '0' + number % 10;
	return number / 10;
}

int kmain(int magic)
{
	int number = magic ^ ANSWER;
	static unsigned int sector[128];
	unsigned int *to = sector;
	unsigned long count = 128;

	__asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(0x1f0) : "memory");
	while (number > 0)
		number = show(number);
	return number;
}
