// What to give a guest that says itself what it lacks.

export const HINTS = {
  /** Of `firstlight boot`; `why` takes --initrd. */
  'no-root':
    'An initrd (--initrd FILE; boot also has --run COMMAND, which makes one), or a disk (boot --disk FILE, with root=/dev/vda in --append), lets it go on to user space.',
  'no-first-domain':
    "It was given no kernel for Xen's first domain; --module gives one, as in --module 'vmlinuz vmlinuz root=/dev/xvda' (Xen takes the first word of its text for a name).",
  'no-bootstrap': 'It was given none of the programs that Mach starts first; each is a module (--module).',
} as const;

export type HintId = keyof typeof HINTS;
