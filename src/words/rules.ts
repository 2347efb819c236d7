// The rules of an audit in words: what each one is about, apart from any one finding. Findings have sentences of their own.

import { FLAGS_GET_LOST, GUARDS, LOOK_AT_LINK, RUNS_ANYWHERE, STUB_RUNS_ELSEWHERE } from './link.ts';

type RuleText = {
  /** An identifier that people can read, other than the rule's own (SARIF 2.1.0, 3.49.7). */
  readonly name: string;
  /** One sentence. */
  readonly short: string;
  /** What is wrong with it, and what comes of it. */
  readonly full: string;
  /** What to do, a paragraph a line. */
  readonly help: string;
  /** As most findings of this rule are; each says its own. */
  readonly severity: 'error' | 'warning' | 'note';
  /** How often a finding of this rule is right, in the words of code-scanning tools. */
  readonly precision: 'very-high' | 'high' | 'medium' | 'low';
  readonly tags: readonly string[];
};

const LINK_HELP = [
  `${LOOK_AT_LINK} \`firstlight audit --link-command "ld ..."\` says which of the flags that protect the stub are there.`,
  FLAGS_GET_LOST,
].join('\n');

const WORDS = {
  'position-dependent-reference': {
    name: 'PositionDependentReference',
    short: 'An instruction in code that runs unrelocated holds an address as a fixed number.',
    full: `${RUNS_ANYWHERE} This instruction holds an address as a fixed number, which is right only where the stub was linked, and nothing corrects it. A kernel that executes it reads, writes or jumps to the wrong place, mostly before it can print a word. No run-time relocation is left, so readelf shows nothing.`,
    help: LINK_HELP,
    severity: 'error',
    precision: 'high',
    tags: ['boot', 'linker', 'x86-64'],
  },
  'position-dependent-pointer': {
    name: 'PositionDependentPointer',
    short: 'Data of the boot stub holds an address as a fixed number.',
    full: `A pointer or a jump table in the data of the boot stub holds link addresses. The ${STUB_RUNS_ELSEWHERE}, and unless it adjusts them itself nothing does: whoever reads one of them goes to the wrong place.`,
    help: `${LINK_HELP}\nA table of addresses in position-independent code holds differences, each entry less the address of the table.`,
    severity: 'warning',
    precision: 'medium',
    tags: ['boot', 'linker', 'x86-64'],
  },
  'kernel-address-before-mapping': {
    name: 'KernelAddressBeforeMapping',
    short: 'Startup code of the kernel uses a kernel address before that address is mapped.',
    full: 'The first code of the kernel runs from the identity map, before the kernel has a mapping at its own addresses. An absolute kernel address used there, which the relocation table does not cover either, faults where no handler is yet installed.',
    help: 'Take the address relative to RIP in that code, as the kernel does with its own macros for startup code, or build the object so that the compiler does.',
    severity: 'error',
    precision: 'high',
    tags: ['boot', 'x86-64'],
  },
  'breaks-without-pie': {
    name: 'BreaksWithoutPie',
    short: 'An object of the boot stub comes out right only of a link with -pie.',
    full: 'With -pie the linker computes this address from RIP, or leaves a run-time relocation for it. Without, it makes a fixed number of it and leaves no trace. The object is right as long as the link is.',
    help: `${LINK_HELP}\nTwo guards do not depend on -pie: ${GUARDS}`,
    severity: 'warning',
    precision: 'very-high',
    tags: ['boot', 'linker', 'x86-64'],
  },
  'link-flag-lost': {
    name: 'LinkFlagLost',
    short: 'The command that links the boot stub lacks a flag that protects it.',
    full: 'The boot stub is linked with flags without which it is not position-independent, or without which a mistake in it goes unnoticed. One of them is missing from the link command that was given.',
    help: LINK_HELP,
    severity: 'error',
    precision: 'very-high',
    tags: ['boot', 'linker', 'x86-64'],
  },
  'boot-protocol-field': {
    name: 'BootProtocolField',
    short: 'A field of the setup header breaks a rule of the boot protocol.',
    full: 'Boot loaders place and enter a kernel by the fields of its setup header. This field contradicts the file, another field, or the rules of the x86 boot protocol, so that a loader that believes it places the kernel wrongly or refuses it.',
    help: 'Build the image with the tools of its own kernel tree, and do not edit it afterwards. The field is described in Documentation/arch/x86/boot.rst of the kernel.',
    severity: 'error',
    precision: 'very-high',
    tags: ['boot', 'boot-protocol', 'x86-64'],
  },
  'payload-layout': {
    name: 'PayloadLayout',
    short: 'The compressed kernel is not what, or not where, the setup header says.',
    full: 'The payload is the compressed kernel inside a bzImage. Its place, length or format contradicts the setup header or the file: the stub unpacks something else, or writes over memory that is in use.',
    help: 'Build the image again. If it was cut or patched after the build, compare it with the one that the build left.',
    severity: 'error',
    precision: 'high',
    tags: ['boot', 'boot-protocol', 'x86-64'],
  },
  'pe-header': {
    name: 'PeHeader',
    short: 'The PE header, by which EFI firmware loads the image, is inconsistent.',
    full: 'EFI firmware loads a kernel as a PE executable. A field of its headers or of its section table contradicts the file or the PE format; firmware may refuse the image or map it with the wrong rights.',
    help: 'Build the image with the tools of its own kernel tree. A tool that signs or wraps the image rewrites these headers; audit it before and after.',
    severity: 'warning',
    precision: 'high',
    tags: ['boot', 'efi', 'x86-64'],
  },
  'elf-layout': {
    name: 'ElfLayout',
    short: 'The ELF headers describe a layout that cannot be loaded as they say.',
    full: 'The boot stub loads the kernel by its program headers, and checks few of them. A segment that overlaps another, lies outside the file or is aligned otherwise than the stub demands ends the boot.',
    help: 'Look at the command that links the kernel (`make V=1`) and at its linker script; `-z max-page-size=0x200000` has to be there for vmlinux.',
    severity: 'error',
    precision: 'high',
    tags: ['boot', 'linker', 'x86-64'],
  },
  'image-entry': {
    name: 'ImageEntry',
    short: 'A header that says how a program is entered contradicts the file.',
    full: 'A Multiboot header, a PVH note or an entry promised by the setup header names a place where no code is, or asks what no loader knows. A loader that believes it jumps into nothing or refuses the file.',
    help: 'Look at the linker script: the header has to lie where loaders look for it, and name physical addresses of what is loaded.',
    severity: 'error',
    precision: 'high',
    tags: ['boot', 'boot-protocol', 'x86-64'],
  },
  checksum: {
    name: 'ImageChecksum',
    short: 'The checksum at the end of the image is wrong.',
    full: 'A bzImage ends with a CRC-32 over all that comes before it. It does not fit, so that the image was changed or cut after it was built.',
    help: 'If nobody changed the image on purpose, get it again from where it was built. Signing and patching tools may change it and leave the checksum as it was.',
    severity: 'warning',
    precision: 'very-high',
    tags: ['boot', 'x86-64'],
  },
  configuration: {
    name: 'KernelConfiguration',
    short: 'An option of the configuration matters for how this kernel starts.',
    full: 'The kernel was built with an option, or a combination of options, that decides whether one of the other findings can be met, or that contradicts what the image says of itself.',
    help: 'Look at the option in the .config of the build.',
    severity: 'note',
    precision: 'high',
    tags: ['boot', 'configuration', 'x86-64'],
  },
} as const satisfies Readonly<Record<string, RuleText>>;

/** Every rule there is, spelled as the classes of death where it is one of those. */
export type RuleId = keyof typeof WORDS;

export const RULES: Readonly<Record<RuleId, RuleText>> = WORDS;

/** Rules in code, where a repair in place is to be looked for. */
const OF_CODE: ReadonlySet<RuleId> = new Set([
  'position-dependent-reference',
  'kernel-address-before-mapping',
  'breaks-without-pie',
]);

/** Is what it finds an instruction? */
export const isOfCode = (rule: RuleId): boolean => OF_CODE.has(rule);

/** Every rule, in the order in which they are listed. */
export const RULE_IDS = Object.keys(RULES) as readonly RuleId[];
