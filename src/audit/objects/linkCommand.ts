// The command that links the stub: out of a single "ld ..." line, or out of a whole build log (make V=1), where the last
// link of arch/x86/boot/compressed/vmlinux is the one that made the file. Says which of the flags that protect the stub
// are there. A make variable given on the command line (make LDFLAGS=...) takes them away without a word.
import { InputError } from '../../bits/errors.ts';
import { KEEP_PIE } from '../../words/link.ts';
import type { Finding } from '../types.ts';
import { type CompileWords, compileWords, type LinkWords, linkWords } from './linkWords.ts';
import { LINKER_NAMES, TRIED_WITH } from './rules.ts';
import { commandsIn } from './shellWords.ts';

export type FlagState = 'present' | 'absent' | 'turned-off' | 'unknown';

export interface LinkFlag {
  /** As one writes it: "-z noreloc-overflow". */
  readonly flag: string;
  readonly state: FlagState;
  /** What is known of it, a sentence. */
  readonly detail: string;
}

export interface LinkCommand extends LinkWords {
  /** Line of the text on which the command starts, from 1. */
  readonly line: number;
  /** Line of the link of the same output before it, where that one had -pie. */
  readonly earlierPie?: number;
  /** 'unknown': a compiler links, and whether it does so with -pie by default depends on how it was built. */
  readonly pie: boolean | 'unknown';
  /** False with --no-relax. */
  readonly relax: boolean;
  /** True with -z noreloc-overflow. */
  readonly noRelocOverflow: boolean;
  readonly flags: readonly LinkFlag[];
  /** What the text says of compilations, by the object's path. */
  readonly compiled: ReadonlyMap<string, CompileWords>;
}

export interface LinkAudit {
  readonly link: LinkCommand;
  readonly findings: readonly Finding[];
  readonly notes: readonly Finding[];
}

const STUB = /(?:^|\/)boot\/compressed\/vmlinux(?:\.elf)?$/;
const STUB_INPUT = /(?:^|\/)boot\/compressed\//;
const MOST_COMPILATIONS = 100_000;
/** The text of a finding shows this much of a command. */
const SHOWN = 2000;

/**
 * Reads a link command or a build log.
 * Throws an InputError where no link of the boot stub is found. Time and memory are proportional to the text.
 */
export function auditLinkCommand(text: string): LinkAudit {
  const { links, compiled } = commandsOf(text);
  const { words, line } = effectiveLink(links);
  const described = describeLink(words, line, compiled);
  const earlier = links.earlier?.line;
  const link = earlier === undefined ? described : { ...described, earlierPie: earlier };
  return { link, ...linkFindings(link) };
}

interface FoundLink {
  readonly words: LinkWords;
  readonly line: number;
}

/** Of the links only those are kept that can be the effective one: the last of the stub, and the last of anything. */
interface Found {
  readonly links: { stub?: FoundLink; earlier?: FoundLink; other?: FoundLink; outputs: Set<string> };
  readonly compiled: Map<string, CompileWords>;
}

const LIKELY = /\b(?:ld|gold|lld|mold|cc|gcc|g\+\+|c\+\+|clang|clang\+\+)(?:\.\w+)?(?:-[\d.]+)?\s/;

function commandsOf(text: string): Found {
  const found: Found = { links: { outputs: new Set() }, compiled: new Map() };
  for (const { words, line } of commandsIn(text, (candidate) => LIKELY.test(candidate))) {
    const link = linkWords(words);
    if (link !== undefined) enterLink(found.links, { words: link, line });
    const compilation = link === undefined ? compileWords(words) : undefined;
    if (compilation !== undefined && found.compiled.size < MOST_COMPILATIONS)
      found.compiled.set(compilation.output, compilation);
  }
  return found;
}

function enterLink(links: Found['links'], link: FoundLink): void {
  const { output, inputs } = link.words;
  const isStub = output !== undefined && STUB.test(output);
  if (isStub || (output === undefined && inputs.some((path) => STUB_INPUT.test(path)))) {
    if (links.stub !== undefined && pieOf(links.stub.words) === 'present') links.earlier = links.stub;
    links.stub = link;
  } else links.other = link;
  if (links.outputs.size < 10) links.outputs.add(output ?? 'a.out');
}

function effectiveLink({ stub, other, outputs }: Found['links']): FoundLink {
  const link = stub ?? (outputs.size === 1 ? other : undefined);
  if (link !== undefined) return link;
  throw new InputError(
    outputs.size === 0
      ? 'the text holds no link command: neither ld, ld.bfd, ld.gold, ld.lld, mold nor a compiler that links (was the build run with V=1?)'
      : `the text holds no link of arch/x86/boot/compressed/vmlinux, but of ${[...outputs].map(brief).join(', ')}`,
  );
}

const brief = (text: string): string => (text.length > 80 ? `${text.slice(0, 77)}...` : text);

const PIE: ReadonlySet<string> = new Set(['-pie', '--pie', '-pic-executable', '--pic-executable']);
const NO_PIE: ReadonlySet<string> = new Set(['-no-pie', '--no-pie', '-no-pic-executable', '--no-pic-executable']);

const pieOf = ({ options }: LinkWords): FlagState => lastOf(options, PIE, NO_PIE);

function describeLink(words: LinkWords, line: number, compiled: Map<string, CompileWords>): LinkCommand {
  const { options } = words;
  const pie = pieOf(words);
  const relax = lastOf(options, new Set(['--relax', '-relax']), new Set(['--no-relax', '-no-relax'])) !== 'turned-off';
  const unknown = pie === 'absent' && words.driver && !options.includes('-static');
  const flags = [
    { flag: '-pie', state: unknown ? ('unknown' as const) : pie, detail: PIE_DETAIL },
    keyword(options, 'noreloc-overflow', 'reloc-overflow', NORELOC_DETAIL),
    keyword(options, 'text', 'notext', 'Makes a run-time relocation in read-only sections an error.'),
    { flag: '--no-dynamic-linker', state: lastOf(options, NO_INTERP, INTERP), detail: NO_INTERP_DETAIL },
    { flag: '--no-relax', state: relax ? ('absent' as const) : ('present' as const), detail: NO_RELAX_DETAIL },
    ...compileFlags(words.inputs, compiled),
  ];
  const noRelocOverflow = flags.some(({ flag, state }) => flag === '-z noreloc-overflow' && state === 'present');
  return { ...words, line, noRelocOverflow, pie: unknown ? 'unknown' : pie === 'present', relax, flags, compiled };
}

const NO_INTERP: ReadonlySet<string> = new Set(['--no-dynamic-linker', '-no-dynamic-linker']);
const INTERP: ReadonlySet<string> = new Set(['-dynamic-linker', '--dynamic-linker', '-I']);

const PIE_DETAIL = 'Keeps every reference computed from RIP, or leaves a run-time relocation for it.';
const NO_INTERP_DETAIL = 'Weak symbols that nobody defines come to 0 at link time, and no interpreter is asked for.';
const NORELOC_DETAIL = `Lets GNU ld relax above 2 GiB; it does not keep an address relative without -pie (${TRIED_WITH.bfd}).`;
const NO_RELAX_DETAIL =
  'GNU ld and lld then keep loads from the GOT, whose slots somebody has to relocate; gold and mold do not mind it.';

/** Which of two opposite groups of options came last. */
function lastOf(options: readonly string[], on: ReadonlySet<string>, off: ReadonlySet<string>): FlagState {
  const last = options.filter((word) => on.has(word) || off.has(word)).at(-1);
  if (last === undefined) return 'absent';
  return on.has(last) ? 'present' : 'turned-off';
}

/** A keyword of -z, also written -zKEYWORD. */
function keyword(options: readonly string[], on: string, off: string, detail: string): LinkFlag {
  const words = options.map((word, i) => (options[i - 1] === '-z' ? word : word.startsWith('-z') ? word.slice(2) : ''));
  return { flag: `-z ${on}`, state: lastOf(words, new Set([on]), new Set([off])), detail };
}

/** Flags that protect object by object, where the text has their compilations. */
function compileFlags(inputs: readonly string[], compiled: ReadonlyMap<string, CompileWords>): LinkFlag[] {
  const known = inputs.map((path) => compiled.get(path)).filter((c) => c !== undefined);
  const flag = (name: string, has: (c: CompileWords) => boolean, lost: (c: CompileWords) => boolean): LinkFlag => {
    const count = known.filter(has).length;
    const against = known.filter(lost).map(({ output }) => brief(output));
    const others = against.length === 0 ? '' : `; turned off for ${against.slice(0, 5).join(', ')}`;
    const detail =
      known.length === 0
        ? 'The text holds no compilation of these objects.'
        : `${count} of ${known.length} objects whose compilation the text holds${others}.`;
    return { flag: name, state: known.length === 0 ? 'unknown' : stateOf(count, known.length, against.length), detail };
  };
  return [
    flag(
      '-fPIE',
      (c) => c.positionIndependent === true,
      (c) => c.positionIndependent === false,
    ),
    flag(
      '-Wa,-mrelax-relocations=no',
      (c) => c.relaxRelocations === false,
      (c) => c.relaxRelocations === true,
    ),
    flag(
      '-fvisibility=hidden (or hidden.h)',
      (c) => c.hidden,
      () => false,
    ),
  ];
}

const stateOf = (count: number, all: number, against: number): FlagState =>
  count === all ? 'present' : against > 0 ? 'turned-off' : 'absent';

/** What the objects of the link turned out to be, where they were given. */
export interface LinkedObjects {
  /** Objects read. */
  readonly count: number;
  /** References that this link makes absolute and -pie would not. */
  readonly broken: number;
  /** References that are absolute whatever the link; with -pie a linker refuses them, or leaves relocations to be seen. */
  readonly absolute: number;
}

/** What the link's flags come to; weighed by the objects, where they are known. */
export function linkFindings(link: LinkCommand, objects?: LinkedObjects): Pick<LinkAudit, 'findings' | 'notes'> {
  if (link.pie === true) return { findings: [], notes: [keptNote(link), ...interpreterNote(link)] };
  const lost = lostFinding(link, objects);
  return lost.severity === 'note' ? { findings: [], notes: [lost] } : { findings: [lost], notes: [] };
}

const whichLink = (link: LinkCommand): string =>
  `The link of ${brief(link.output ?? 'a.out')} (line ${link.line}, ${linkerText(link)})`;

const linkerText = ({ linker, assumed, program }: LinkWords): string =>
  assumed ? `${brief(program)}, taken for ${LINKER_NAMES[linker]}` : LINKER_NAMES[linker];

const commandText = ({ program, options }: LinkWords): string => {
  let text = program;
  for (const option of options) {
    if (text.length > SHOWN) return `${text.slice(0, SHOWN)} ...`;
    text += ` ${option}`;
  }
  return text;
};

const LOST: Readonly<Record<FlagState, string>> = {
  absent: 'has no -pie',
  present: 'has no -pie',
  'turned-off': 'has -pie turned off by a later -no-pie',
  unknown: 'does not say -pie; whether the compiler adds it depends on how that was built',
};

function lostFinding(link: LinkCommand, objects: LinkedObjects | undefined): Finding {
  const state = link.flags.find(({ flag }) => flag === '-pie')?.state ?? 'absent';
  const missing = link.flags.filter((f) => PROTECTING.has(f.flag) && f.state !== 'present').map((f) => f.flag);
  const also = missing.length === 0 ? '' : ` Not there either: ${missing.join(', ')}.`;
  return {
    rule: 'link-flag-lost',
    severity: lostSeverity(link, objects),
    confidence: link.assumed || state === 'unknown' ? 'medium' : 'high',
    message: `${whichLink(link)} ${LOST[state]}${weight(objects)}.`,
    reason: `The last of -pie and -no-pie on the command line decides.${also}${earlierText(link)} The consequence is as tried with ${TRIED_WITH[link.linker]}.`,
    text: commandText(link),
    decision: CONSEQUENCE[link.linker],
    advice: objects === undefined ? `${KEEP_PIE}\n${GIVE_OBJECTS}` : KEEP_PIE,
  };
}

const earlierText = ({ earlierPie }: LinkCommand): string =>
  earlierPie === undefined ? '' : ` An earlier link of it, on line ${earlierPie}, had -pie.`;

function lostSeverity(link: LinkCommand, objects: LinkedObjects | undefined): Finding['severity'] {
  if (objects === undefined || (link.pie === 'unknown' && objects.broken > 0)) return 'warning';
  if (objects.broken + objects.absolute > 0) return 'error';
  // An object that was not given may be the one that breaks.
  return objects.count >= link.inputs.length ? 'note' : 'warning';
}

const references = (count: number): string => `${count} ${count === 1 ? 'reference' : 'references'}`;

function weight(objects: LinkedObjects | undefined): string {
  if (objects === undefined) return '';
  const { count, broken, absolute } = objects;
  const hidden =
    absolute === 0 ? '' : `, which lets ${references(absolute)} of the objects given pass that are absolute`;
  if (broken > 0)
    return `, which breaks ${references(broken)} of the objects given${absolute === 0 ? '' : hidden.replace(', which', ', and')}`;
  return absolute > 0 ? hidden : `; of the objects given (${count}) none breaks by it`;
}

const GIVE_OBJECTS = 'Give the object files as well, to see which of them this breaks.';

const PROTECTING: ReadonlySet<string> = new Set(['--no-dynamic-linker', '-z noreloc-overflow']);

/** What becomes of a stub that its linker links without -pie; rules.ts has it reference by reference. */
const CONSEQUENCE: Readonly<Record<LinkWords['linker'], string>> = {
  bfd: 'Without -pie GNU ld turns `mov symbol@GOTPCREL(%rip)` into `mov $address`, and cmp, test and arithmetic alike, for relocations of type R_X86_64_GOTPCRELX and R_X86_64_REX_GOTPCRELX: link addresses, wrong wherever the stub is not loaded at its link address. No run-time relocation is left to tell.',
  gold: 'Without -pie gold leaves references through the GOT with link addresses in its slots and no run-time relocation; it makes lea of loads, and no immediates.',
  lld: 'Without -pie lld makes lea of loads from the GOT, but turns cmp, test and arithmetic of type R_X86_64_REX_GOTPCRELX into compares with an absolute address; no run-time relocation is left to tell.',
  mold: 'Without -pie mold leaves references through the GOT with link addresses in its slots and no run-time relocation; it makes lea of loads where nothing else needs the slot, and no immediates.',
};

function keptNote(link: LinkCommand): Finding {
  return {
    rule: 'link-flag-lost',
    severity: 'note',
    confidence: link.assumed ? 'medium' : 'high',
    message: `${whichLink(link)} has -pie.`,
    reason: 'The last of -pie and -no-pie on the command line decides.',
    text: commandText(link),
  };
}

function interpreterNote(link: LinkCommand): Finding[] {
  const flag = link.flags.find((f) => f.flag === '--no-dynamic-linker');
  if (flag?.state === 'present' || link.linker === 'gold') return [];
  const message = `${whichLink(link)} has -pie, but no --no-dynamic-linker.`;
  return [{ rule: 'link-flag-lost', severity: 'note', confidence: 'medium', message, reason: NO_INTERP_DETAIL }];
}
