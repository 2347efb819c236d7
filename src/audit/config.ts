// The build configuration beside the image: what contradicts it, and what its options mean for the other findings.
import { hex } from '../bits/hex.ts';
import type { PayloadFormat } from '../image/payload.ts';
import { isOff, isOn, type KernelConfig, numberOf } from '../image/kernelConfig.ts';
import {
  type SetupHeader,
  XLF_5LEVEL,
  XLF_5LEVEL_ENABLED,
  XLF_EFI_HANDOVER_32,
  XLF_EFI_HANDOVER_64,
  XLF_KERNEL_64,
} from '../image/setup-header.ts';
import { headerFacts, releaseOf } from './header/facts.ts';
import { isPowerOfTwo } from './header/row.ts';
import type { Confidence, Finding } from './types.ts';

/** What of the image the configuration is held against; a member left out is not looked at. */
export type ConfigFacts = {
  readonly header?: SetupHeader;
  readonly payloadFormat?: PayloadFormat;
  /** Whether the image has a PE header. */
  readonly pe?: boolean;
  /** The version string: "6.1.0-56-amd64 (...) #1 SMP ...". */
  readonly version?: string;
};

/** The facts of a bzImage. Throws an InputError where it is none. */
export function configFactsOf(bytes: Uint8Array): ConfigFacts {
  const { header, payload, pe, version } = headerFacts(bytes);
  return {
    header,
    pe: pe !== undefined,
    ...(payload === undefined ? {} : { payloadFormat: payload.format }),
    ...(version === undefined ? {} : { version }),
  };
}

type ContradictionRow = {
  readonly option: string;
  readonly confidence: Confidence;
  /** What the image has instead, after "CONFIG_X is ..., but"; undefined where nothing contradicts. */
  readonly problem: (config: KernelConfig, facts: ConfigFacts) => string | undefined;
};

/** A row about a bit of the header that the option decides. */
const decides = (
  option: string,
  holds: (header: SetupHeader) => boolean | undefined,
  inImage: (on: boolean) => string,
): ContradictionRow => ({
  option,
  confidence: 'high',
  problem: (config, { header }) => {
    const actual = header === undefined ? undefined : holds(header);
    if (actual === undefined) return undefined;
    if (isOn(config, option) && !actual) return inImage(false);
    return isOff(config, option) && actual ? inImage(true) : undefined;
  },
});

const bit = (header: SetupHeader, mask: number): boolean => (header.xloadflags & mask) !== 0;

const FORMATS: readonly (readonly [string, PayloadFormat])[] = [
  ['KERNEL_GZIP', 'gzip'],
  ['KERNEL_BZIP2', 'bzip2'],
  ['KERNEL_LZMA', 'lzma'],
  ['KERNEL_XZ', 'xz'],
  ['KERNEL_LZO', 'lzo'],
  ['KERNEL_LZ4', 'lz4'],
  ['KERNEL_ZSTD', 'zstd'],
];

const CONTRADICTIONS: readonly ContradictionRow[] = [
  decides(
    'RELOCATABLE',
    (header) => header.relocatable_kernel !== 0,
    (on) => `relocatable_kernel is ${on ? 1 : 0}`,
  ),
  decides(
    'X86_64',
    (header) => (header.version >= 0x20c ? bit(header, XLF_KERNEL_64) : undefined),
    (on) => `xloadflags ${on ? 'has' : 'lacks'} KERNEL_64`,
  ),
  decides(
    'X86_5LEVEL',
    // Kernels before the bits existed have neither.
    (header) =>
      bit(header, XLF_5LEVEL) || bit(header, XLF_5LEVEL_ENABLED) ? bit(header, XLF_5LEVEL_ENABLED) : undefined,
    (on) => `xloadflags ${on ? 'has' : 'lacks'} 5LEVEL_ENABLED`,
  ),
  decides(
    'EFI_MIXED',
    (header) => (bit(header, XLF_EFI_HANDOVER_64) ? bit(header, XLF_EFI_HANDOVER_32) : undefined),
    (on) => `xloadflags ${on ? 'has' : 'lacks'} EFI_HANDOVER_32`,
  ),
  {
    option: 'EFI_STUB',
    confidence: 'high',
    problem: (config, { pe }) => {
      if (isOn(config, 'EFI_STUB') && pe === false) return 'the image has no PE header';
      return isOff(config, 'EFI_STUB') && pe === true ? 'the image has a PE header' : undefined;
    },
  },
  {
    option: 'PHYSICAL_ALIGN',
    confidence: 'high',
    problem: (config, { header }) => {
      const wanted = numberOf(config, 'PHYSICAL_ALIGN');
      if (wanted === undefined || header === undefined || header.kernel_alignment === wanted) return undefined;
      return `kernel_alignment is ${hex(header.kernel_alignment)}`;
    },
  },
  { option: 'PHYSICAL_START', confidence: 'high', problem: preferredAddress },
  ...FORMATS.map(
    ([option, format]): ContradictionRow => ({
      option,
      confidence: 'high',
      problem: (config, { payloadFormat }) =>
        isOn(config, option) && payloadFormat !== undefined && payloadFormat !== format && payloadFormat !== 'unknown'
          ? `the payload is packed with ${payloadFormat}`
          : undefined,
    }),
  ),
];

/** LOAD_PHYSICAL_ADDR (asm/boot.h): PHYSICAL_START, aligned up to PHYSICAL_ALIGN. */
function preferredAddress(config: KernelConfig, { header }: ConfigFacts): string | undefined {
  const start = numberOf(config, 'PHYSICAL_START');
  const alignment = numberOf(config, 'PHYSICAL_ALIGN');
  if (start === undefined || alignment === undefined || !isPowerOfTwo(alignment)) return undefined;
  if (header === undefined || header.version < 0x20a) return undefined;
  const wanted = BigInt(Math.ceil(start / alignment) * alignment);
  return header.pref_address === wanted ? undefined : `pref_address is ${hex(header.pref_address)}`;
}

type NoteRow = { readonly note: (config: KernelConfig) => string | undefined; readonly reason: string };

const NOTES: readonly NoteRow[] = [
  {
    note: linkerNote,
    reason:
      'Of GOT loads of a stub linked without -pie, ld makes mov with an absolute immediate, lld lea; of cmp, test and arithmetic both make an absolute immediate. With -pie neither does.',
  },
  {
    note: relocationNote,
    reason:
      'The stub itself runs where the boot loader put it, whatever these options say: what its references come to depends on the loader.',
  },
  {
    note: (config) =>
      isOn(config, 'X86_5LEVEL')
        ? 'CONFIG_X86_5LEVEL=y: the stub may leave 64-bit mode, through code it copies below 1 MiB, to change the number of page-table levels.'
        : undefined,
    reason:
      'The address of that code (the trampoline) is what a lost -pie breaks first. Newer kernels run it only on processors with LA57, where the loader left the other setting.',
  },
  {
    note: (config) => {
      const option = ['LTO_CLANG_FULL', 'LTO_CLANG_THIN', 'LTO_GCC'].find((name) => isOn(config, name));
      return option && `CONFIG_${option}=y: the kernel was built with link-time optimisation, the stub was not.`;
    },
    reason:
      'The stub has compiler flags of its own, without LTO. It is often blamed where flags given to make, such as LDFLAGS=-flto, replaced the -pie of its link.',
  },
];

function linkerNote(config: KernelConfig): string | undefined {
  const compiler = config.options.get('CC_VERSION_TEXT') ?? (isOn(config, 'CC_IS_CLANG') ? 'clang' : undefined);
  const made = compiler === undefined ? '' : ` The compiler was ${compiler}.`;
  if (isOn(config, 'LD_IS_LLD') || (numberOf(config, 'LLD_VERSION') ?? 0) > 0) {
    return `The kernel was linked with lld: a lost -pie shows in absolute immediates of cmp, test and arithmetic, while mov becomes lea.${made}`;
  }
  if (isOn(config, 'LD_IS_BFD') || (numberOf(config, 'LD_VERSION') ?? 0) > 0) {
    return `The kernel was linked with GNU ld: a lost -pie turns loads of addresses from the GOT into mov with an absolute immediate.${made}`;
  }
  return undefined;
}

function relocationNote(config: KernelConfig): string | undefined {
  if (isOff(config, 'RELOCATABLE')) {
    return 'CONFIG_RELOCATABLE is not set: the kernel runs at CONFIG_PHYSICAL_START, but the stub before it still runs where it was loaded.';
  }
  if (!isOn(config, 'RELOCATABLE')) return undefined;
  if (isOn(config, 'RANDOMIZE_BASE')) {
    return 'CONFIG_RANDOMIZE_BASE=y: the kernel proper runs at another address each boot, unless nokaslr is given, so a fault in its startup code may show in one boot and not in the next.';
  }
  return 'CONFIG_RANDOMIZE_BASE is not set: the kernel proper runs where it was loaded, so a fault shows at the same place each boot.';
}

/** Contradictions between the configuration and the image, as warnings, then notes of what options mean. */
export function auditConfig(config: KernelConfig, facts: ConfigFacts = {}): Finding[] {
  return [...contradictions(config, facts), ...versionContradiction(config, facts), ...notes(config)];
}

function contradictions(config: KernelConfig, facts: ConfigFacts): Finding[] {
  return CONTRADICTIONS.flatMap(({ option, confidence, problem }) => {
    const found = problem(config, facts);
    return found === undefined ? [] : [contradiction(confidence, optionText(config, option), found)];
  });
}

const contradiction = (confidence: Confidence, setting: string, instead: string): Finding => ({
  rule: 'configuration',
  severity: 'warning',
  confidence,
  message: `The configuration has ${setting}, but ${instead}.`,
  reason:
    'A build writes the one from the other. Either this configuration is not the one the image was built with, or the header was changed.',
  text: setting,
});

function optionText(config: KernelConfig, option: string): string {
  const value = config.options.get(option) ?? '';
  return value === 'n' ? `CONFIG_${option} not set` : `CONFIG_${option}=${value}`;
}

/** Distributions name releases otherwise ("6.1.0-56-amd64" of 6.1.192), so only major and minor are compared. */
function versionContradiction(config: KernelConfig, { version }: ConfigFacts): Finding[] {
  const made = releaseOf(config.version);
  const image = releaseOf(version);
  if (made === undefined || image === undefined || made.join('.') === image.join('.')) return [];
  return [
    contradiction(
      'high',
      `been made for Linux ${config.version}`,
      `the image says that it is ${version?.split(' ')[0]}`,
    ),
  ];
}

function notes(config: KernelConfig): Finding[] {
  return NOTES.flatMap(({ note, reason }) => {
    const message = note(config);
    return message === undefined
      ? []
      : [{ rule: 'configuration', severity: 'note', confidence: 'high', message, reason } as const];
  });
}
