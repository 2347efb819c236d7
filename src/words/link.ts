// What is said of how a boot stub is linked, and of where it runs, in more than one place.

const COMMAND =
  'the command that links arch/x86/boot/compressed/vmlinux (`make V=1`): it has to have -pie and --no-dynamic-linker.';
export const LOOK_AT_LINK = `Look at ${COMMAND}`;
export const THEN_CHECK_LINK = `Then check ${COMMAND}`;

export const FLAGS_GET_LOST =
  'They get lost when a variable that the makefiles build up is given on the command line of make: `make LDFLAGS=...` replaces all that they assign to it.';
/** Of a stub that was linked without. */
export const LINKED_WITHOUT_PIE =
  'Look at the link command of arch/x86/boot/compressed/vmlinux (make V=1): LDFLAGS given to make override its own.';
/** Of a link command that lacks it. */
export const KEEP_PIE =
  "Link with -pie --no-dynamic-linker. Look for a make variable (LDFLAGS, KBUILD_LDFLAGS) on make's command line: there it overrides every assignment in the makefiles.";
/** Of a kernel whose segments are not aligned as its stub demands. */
export const KEEP_PAGE_SIZE =
  'Link the kernel with -z max-page-size=0x200000, as arch/x86/Makefile does: LDFLAGS given on the make command line override it.';

/** What helps whatever the link is. */
export const GUARDS = 'hidden visibility for the symbol, and `-Wa,-mrelax-relocations=no` for the objects of the stub.';

export const RUNS_ANYWHERE =
  'The boot stub runs wherever the boot loader puts it, so each address in it has to be computed from where it runs.';
/** Why a link address is wrong in it. */
export const STUB_RUNS_ELSEWHERE = 'stub runs elsewhere';
