// Which of a build's commands link and which compile, and what their words say: linkers and compiler drivers by name,
// options as GNU ld, gold, lld and mold take them (ld(1), ld.lld(1), mold(1), gcc(1) "Link Options").
import type { Linker } from '../types.ts';

export interface LinkWords {
  readonly linker: Linker;
  /** The program as it was called: "x86_64-linux-gnu-ld.bfd". */
  readonly program: string;
  /** True where the name does not tell the linker (`ld`, or a compiler without -fuse-ld): it is taken for GNU ld. */
  readonly assumed: boolean;
  /** Through a compiler, which may add flags of its own. */
  readonly driver: boolean;
  /** The linker's own options: what a driver hands on (-Wl, -Xlinker) stands as it arrives. */
  readonly options: readonly string[];
  readonly output: string | undefined;
  /** Object files and archives. */
  readonly inputs: readonly string[];
}

export interface CompileWords {
  readonly output: string;
  /** The last of -fPIE, -fPIC, -fno-pie and the like. */
  readonly positionIndependent: boolean | undefined;
  /** The last -Wa,-mrelax-relocations=; undefined where there is none. */
  readonly relaxRelocations: boolean | undefined;
  /** -fvisibility=hidden, or the kernel's hidden.h included from the command line. */
  readonly hidden: boolean;
  readonly codeModel: string | undefined;
}

const LINKER_NAME = /^(?:[\w.+]+-)*(?<name>ld|ld\.bfd|ld\.gold|gold|ld\.lld|lld|ld\.mold|mold)(?:-[\d.]+)?$/;
const COMPILER_NAME = /^(?:[\w.+]+-)*(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+)(?:-[\d.]+)?$/;

/** Words that may stand before the program in a command, or in front of a line of a log. */
const WRAPPERS: ReadonlySet<string> = new Set(
  'ccache sccache distcc icecc env time nice ionice exec command sudo if then else do while ! { +'.split(' '),
);
const ASSIGNMENT = /^[A-Za-z_]\w*=/;
/** Timestamps, step numbers and the like: "[", "12.34", "2024-05-01T10:00:00Z", "#9". */
const LOG_PREFIX = /^(?:[[\d(<>]|#\d)[^/]*$/;
/** Options of a wrapper: `nice -n 10`. */
const WRAPPER_OPTION = /^-{1,2}\w/;
const MOST_PREFIX_WORDS = 24;

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Where the program stands among the words; undefined where the command is neither linker nor compiler. */
function programIndex(words: readonly string[]): number | undefined {
  let wrapped = false;
  for (const [i, word] of words.slice(0, MOST_PREFIX_WORDS).entries()) {
    const name = baseName(word);
    if (LINKER_NAME.test(name) || COMPILER_NAME.test(name)) return i;
    if (WRAPPERS.has(name)) wrapped = true;
    else if (!ASSIGNMENT.test(word) && !LOG_PREFIX.test(word) && !(wrapped && WRAPPER_OPTION.test(word)))
      return undefined;
  }
  return undefined;
}

const LINKER_BY_NAME: Readonly<Record<string, Linker>> = {
  ld: 'bfd',
  bfd: 'bfd',
  'ld.bfd': 'bfd',
  'ld.gold': 'gold',
  gold: 'gold',
  'ld.lld': 'lld',
  lld: 'lld',
  'ld.mold': 'mold',
  mold: 'mold',
};

/** The command as a final link; undefined where it is something else (a compilation, `ld -r`). */
export function linkWords(words: readonly string[]): LinkWords | undefined {
  const index = programIndex(words);
  if (index === undefined) return undefined;
  const program = words[index]!;
  const rest = words.slice(index + 1);
  const own = LINKER_NAME.exec(baseName(program))?.groups?.['name'];
  return own === undefined ? driverLink(program, rest) : directLink(program, own, rest);
}

function directLink(program: string, name: string, words: readonly string[]): LinkWords | undefined {
  if (words.some((w) => PARTIAL.has(w))) return undefined;
  const linker = LINKER_BY_NAME[name] ?? 'bfd';
  return { linker, program, assumed: name === 'ld', driver: false, options: words, ...filesOf(words) };
}

const PARTIAL: ReadonlySet<string> = new Set([
  '-r',
  '-i',
  '--relocatable',
  '-relocatable',
  '-v',
  '-V',
  '--version',
  '--help',
]);
const COMPILE_ONLY: ReadonlySet<string> = new Set([
  '-c',
  '-S',
  '-E',
  '-M',
  '-MM',
  '-fsyntax-only',
  '-r',
  '--version',
  '-v',
]);

function driverLink(program: string, words: readonly string[]): LinkWords | undefined {
  if (words.some((w) => COMPILE_ONLY.has(w))) return undefined;
  const files = filesOf(words);
  if (files.inputs.length === 0) return undefined;
  const named = lastWord(words, (w) => /^(?:-fuse-ld=|--ld-path=)/.test(w));
  const name = named === undefined ? undefined : baseName(named.slice(named.indexOf('=') + 1)).replace(/-[\d.]+$/, '');
  const linker = name === undefined ? undefined : LINKER_BY_NAME[name];
  const options = handedOn(words);
  return { linker: linker ?? 'bfd', program, assumed: linker === undefined, driver: true, options, ...files };
}

/** What a compiler hands its linker. -static-pie stands for the three options gcc and clang make of it. */
function handedOn(words: readonly string[]): string[] {
  const options: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word.startsWith('-Wl,')) options.push(...word.slice(4).split(','));
    else if (word === '-Xlinker') options.push(words[++i] ?? '');
    else if (word === '-static-pie') options.push('-pie', '--no-dynamic-linker', '-z', 'text');
    else if (word === '-nopie') options.push('-no-pie');
    else options.push(word);
  }
  return options;
}

const INPUT = /\.(?:o|a|lo|obj)$/;

/** Options whose next word is no input. */
const WITH_ARGUMENT: ReadonlySet<string> = new Set(
  '-o --output -T --script -dT -m -z -e --entry -u -L -Map -h -soname -y -R -I -Xlinker --defsym -rpath -plugin'.split(
    ' ',
  ),
);

function filesOf(words: readonly string[]): Pick<LinkWords, 'output' | 'inputs'> {
  let output: string | undefined;
  const inputs: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === '-o' || word === '--output') output = words[++i];
    else if (WITH_ARGUMENT.has(word)) i++;
    else if (word.startsWith('--output=')) output = word.slice('--output='.length);
    else if (/^-o./.test(word)) output = word.slice(2);
    else if (!word.startsWith('-') && INPUT.test(word)) inputs.push(word);
  }
  return { output, inputs };
}

/** The command as the compilation of one object; undefined where it is something else. */
export function compileWords(words: readonly string[]): CompileWords | undefined {
  const index = programIndex(words);
  if (index === undefined || !COMPILER_NAME.test(baseName(words[index]!)) || !words.includes('-c')) return undefined;
  const options = words.slice(index + 1);
  const output = filesOf(options).output;
  if (output === undefined) return undefined;
  const pic = lastWord(options, (w) => /^-f(?:no-)?pi[ce]$/i.test(w));
  const relax = lastWord(options.flatMap(assemblerWords), (w) => RELAX.test(w));
  return {
    output,
    positionIndependent: pic === undefined ? undefined : !pic.startsWith('-fno-'),
    relaxRelocations: relax === undefined ? undefined : relax.endsWith('yes'),
    hidden:
      lastWord(options, (w) => w.startsWith('-fvisibility=')) === '-fvisibility=hidden' || includesHidden(options),
    codeModel: lastWord(options, (w) => w.startsWith('-mcmodel='))?.slice('-mcmodel='.length),
  };
}

const lastWord = (words: readonly string[], fits: (word: string) => boolean): string | undefined =>
  words.filter(fits).at(-1);

const assemblerWords = (word: string): string[] => (word.startsWith('-Wa,') ? word.split(',') : []);

const RELAX = /^-{1,2}mrelax-relocations=(?:yes|no)$/;

const includesHidden = (options: readonly string[]): boolean =>
  options.some((w, i) => options[i - 1] === '-include' && baseName(w) === 'hidden.h');
