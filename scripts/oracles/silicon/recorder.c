/*
 * Runs single instructions on the CPU it runs on and reports what came out.
 *
 * Each request gives a mode, the instruction's bytes, all general registers, the flags, x87 and SSE
 * state and a few blocks of memory; each reply gives the same afterwards, or the exception. There is no assembly
 * trampoline: a signal handler rewrites the saved context of the previous vector into the next
 * one's and returns, so the kernel's sigreturn loads every register (rsp included) at once. All
 * executable memory around the instruction is filled with INT3; the instruction ends in one of
 * those, wherever it went, and the #BP (or its own exception) brings the next signal.
 *
 * Selectors are Linux's: 0x33 64-bit code, 0x23 32-bit code, 0x2b flat data. 16-bit code is an LDT
 * entry of ours (0x07, base 0). The memory map is test/vectors/layout.ts's.
 *
 * stdin: a sequence of struct request, each followed by its blocks; stdout: a struct reply each,
 * followed by the contents of the same blocks. Exit status 0 when all were run.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096, MAX_CODE = 24, GS_BASE = 0x10000f20, FX_BYTES = 416, UPPER_BYTES = 256, XSTATE_HEADER = 512, XSTATE_UPPER = 576 };

struct request {
  uint8_t mode; /* 64, 32 or 16 */
  uint8_t code_length;
  uint8_t block_count;
  uint8_t reserved;
  uint32_t rflags;
  uint64_t rip;
  uint64_t regs[16]; /* in encoding order: rax rcx rdx rbx rsp rbp rsi rdi r8..r15 */
  uint8_t code[MAX_CODE];
  uint8_t fx[FX_BYTES]; /* x87, XMM and MXCSR, as FXSAVE lays them out */
  uint8_t upper[UPPER_BYTES]; /* upper halves of the YMM registers */
};

struct block {
  uint64_t address;
  uint64_t length;
};

struct reply {
  uint64_t regs[16];
  uint64_t rip;
  uint64_t rflags;
  uint64_t cr2;
  uint32_t trapno;
  uint32_t error;
  uint16_t es, cs, ss, ds, fs, gs;
  uint32_t stray; /* memory outside the blocks was written */
  uint8_t fx[FX_BYTES];
  uint8_t upper[UPPER_BYTES];
};

struct region {
  uint64_t address;
  uint64_t length;
  int code;
};

static const struct region regions[] = {
    {0x10000000, PAGE, 0},     {0x10010000, PAGE, 0},        {0x2000, PAGE, 0},
    {0x123410000000, PAGE, 0}, {0x11000000, 16 * PAGE, 1}, {0x4000, 12 * PAGE, 1},
};
enum { REGION_COUNT = sizeof regions / sizeof regions[0] };

static const int context_register[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                         REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static uint8_t *input, *input_end, *next;
static uint8_t *output, *output_next;
static const struct request *current;
static uint64_t our_fs_base;
static long vectors_done;
static const uint8_t zeros[16 * PAGE];
static uint8_t int3s[16 * PAGE];

static void fail(const char *why) {
  fprintf(stderr, "recorder: %s (vector %ld)\n", why, vectors_done);
  _exit(2);
}

/* Also stands before any use of libc in the handler: a vector may have loaded FS, and libc's thread data hangs on it. */
static long system_call2(long number, long a, long b) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
  return result;
}

static void read_segments(struct reply *reply) {
  __asm__ volatile("mov %%ds, %0" : "=r"(reply->ds));
  __asm__ volatile("mov %%es, %0" : "=r"(reply->es));
  __asm__ volatile("mov %%fs, %0" : "=r"(reply->fs));
  __asm__ volatile("mov %%gs, %0" : "=r"(reply->gs));
}

/* The state every vector starts from: DS = ES = 0x2b, FS = GS = 0, GS base known; NT, ID and AC clear. */
static void reset_segments_and_flags(void) {
  __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0x2b));
  __asm__ volatile("mov %0, %%fs; mov %0, %%gs" ::"r"(0));
  system_call2(SYS_arch_prctl, ARCH_SET_FS, (long)our_fs_base);
  system_call2(SYS_arch_prctl, ARCH_SET_GS, GS_BASE);
  __asm__ volatile("pushq $2; popfq" ::: "cc", "memory");
}

static uint8_t *append_blocks(uint8_t *to, const struct request *request) {
  const uint8_t *from = (const uint8_t *)(request + 1);
  for (int i = 0; i < request->block_count; i++) {
    const struct block *block = (const struct block *)from;
    memcpy(to, (void *)block->address, block->length);
    memset((void *)block->address, 0, block->length);
    to += block->length;
    from += sizeof *block + block->length;
  }
  return to;
}

static int stray_writes(void) {
  for (int i = 0; i < REGION_COUNT; i++) {
    const void *clean = regions[i].code ? (const void *)int3s : (const void *)zeros;
    if (memcmp((void *)regions[i].address, clean, regions[i].length) != 0) return 1;
  }
  return 0;
}

static void clean_regions(void) {
  for (int i = 0; i < REGION_COUNT; i++)
    memset((void *)regions[i].address, regions[i].code ? 0xcc : 0, regions[i].length);
}

static void take_reply(const ucontext_t *context) {
  const greg_t *gregs = context->uc_mcontext.gregs;
  struct reply *reply = (struct reply *)output_next;
  read_segments(reply);
  reset_segments_and_flags();
  for (int i = 0; i < 16; i++) reply->regs[i] = (uint64_t)gregs[context_register[i]];
  reply->rip = (uint64_t)gregs[REG_RIP];
  reply->rflags = (uint64_t)gregs[REG_EFL];
  reply->cr2 = (uint64_t)gregs[REG_CR2];
  reply->trapno = (uint32_t)gregs[REG_TRAPNO];
  reply->error = (uint32_t)gregs[REG_ERR];
  reply->cs = (uint16_t)gregs[REG_CSGSFS];
  reply->ss = (uint16_t)((uint64_t)gregs[REG_CSGSFS] >> 48);
  output_next = append_blocks((uint8_t *)(reply + 1), current);
  const uint8_t *frame = (const uint8_t *)context->uc_mcontext.fpregs;
  memcpy(reply->fx, frame, FX_BYTES);
  /* A part that the header does not name is in its initial state: zeros. */
  if (*(const uint64_t *)(frame + XSTATE_HEADER) & 4) memcpy(reply->upper, frame + XSTATE_UPPER, UPPER_BYTES);
  memset((void *)current->rip, 0xcc, current->code_length);
  reply->stray = (uint32_t)stray_writes();
  if (reply->stray) clean_regions();
}

static uint64_t code_selector(int mode) { return mode == 64 ? 0x33 : mode == 32 ? 0x23 : 0x07; }

/* The kernel loads the frame's FXSAVE area with XRSTOR; its header says which parts are not in their initial state. */
static void load_fx(ucontext_t *context) {
  uint8_t *frame = (uint8_t *)context->uc_mcontext.fpregs;
  memcpy(frame, current->fx, FX_BYTES);
  memcpy(frame + XSTATE_UPPER, current->upper, UPPER_BYTES);
  *(uint64_t *)(frame + XSTATE_HEADER) |= 7; /* x87, SSE, AVX */
}

static void load_request(ucontext_t *context) {
  greg_t *gregs = context->uc_mcontext.gregs;
  current = (const struct request *)next;
  next = (uint8_t *)(current + 1);
  for (int i = 0; i < current->block_count; i++) {
    const struct block *block = (const struct block *)next;
    memcpy((void *)block->address, block + 1, block->length);
    next += sizeof *block + block->length;
  }
  memcpy((void *)current->rip, current->code, current->code_length);
  for (int i = 0; i < 16; i++) gregs[context_register[i]] = (greg_t)current->regs[i];
  gregs[REG_RIP] = (greg_t)current->rip;
  gregs[REG_EFL] = current->rflags;
  gregs[REG_CSGSFS] = (greg_t)(code_selector(current->mode) | 0x2bULL << 48);
  load_fx(context);
  alarm(5); /* an instruction that never ends is a mistake of the generator */
}

static void write_all(void) {
  for (uint8_t *from = output; from < output_next;) {
    ssize_t written = write(1, from, (size_t)(output_next - from));
    if (written <= 0) fail("cannot write the replies");
    from += written;
  }
}

static void on_signal(int number, siginfo_t *info, void *opaque) {
  (void)info;
  if (current) take_reply(opaque);
  else reset_segments_and_flags();
  if (number == SIGALRM) fail("an instruction did not end");
  if (current) vectors_done++;
  if (next == input_end) {
    write_all();
    _exit(0);
  }
  load_request(opaque);
}

static void map_regions(void) {
  for (int i = 0; i < REGION_COUNT; i++) {
    int protection = PROT_READ | PROT_WRITE | (regions[i].code ? PROT_EXEC : 0);
    void *wanted = (void *)regions[i].address;
    void *got = mmap(wanted, regions[i].length, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != wanted) fail("cannot map the regions");
  }
  memset(int3s, 0xcc, sizeof int3s);
  clean_regions();
}

static void install_16bit_code_segment(void) {
  struct user_desc entry = {.entry_number = 0, .limit = 0xfffff, .limit_in_pages = 1, .contents = MODIFY_LDT_CONTENTS_CODE};
  if (syscall(SYS_modify_ldt, 1, &entry, sizeof entry) != 0) fail("cannot make a 16-bit code segment");
}

static void install_handlers(void) {
  static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM};
  stack_t stack = {.ss_sp = malloc(1 << 18), .ss_size = 1 << 18};
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaltstack(&stack, NULL);
  sigfillset(&action.sa_mask);
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) sigaction(signals[i], &action, NULL);
}

static void read_requests(void) {
  size_t capacity = 1 << 20, length = 0;
  input = malloc(capacity);
  for (;;) {
    if (length == capacity) input = realloc(input, capacity *= 2);
    ssize_t got = input ? read(0, input + length, capacity - length) : -1;
    if (got < 0) fail("cannot read the requests");
    if (got == 0) break;
    length += (size_t)got;
  }
  next = input;
  input_end = input + length;
}

/* A reply's blocks are never longer than its request's; only struct reply is longer than struct request. */
static void allocate_output(void) {
  size_t requests = (size_t)(input_end - input) / sizeof(struct request) + 1;
  output = output_next = calloc(1, (size_t)(input_end - input) + requests * sizeof(struct reply));
  if (!output) fail("out of memory");
}

int main(void) {
  read_requests();
  allocate_output();
  map_regions();
  install_16bit_code_segment();
  install_handlers();
  system_call2(SYS_arch_prctl, ARCH_GET_FS, (long)&our_fs_base);
  if (next == input_end) return 0;
  __asm__ volatile("int3");
  fail("not reached");
}
