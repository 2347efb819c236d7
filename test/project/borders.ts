// Which room may import which (ARCHITECTURE.md), as a function from source text to complaints.

/** The rooms of src/ in their order: each imports only from itself and from rooms before it. */
export const ROOMS = [
  'bits',
  'x86',
  'wasm',
  'unpack',
  'image',
  'code',
  'words',
  'cpu',
  'devices',
  'machine',
  'boot',
  'run',
  'options',
  'record',
  'audit',
  'diagnose',
  'report',
  'cli',
  'web',
] as const;

/** The sub-rooms of src/cpu in their order, by the same rule; no file lies beside them. */
export const CPU_ROOMS = ['state', 'mmu', 'semantics', 'binding', 'decode', 'float', 'microcode', 'interpret'] as const;

/**
 * What the definitions of instructions may not name: where registers and flags are is for a binding to say
 * (semantics/emission.ts).
 */
const PLACES = /\b(?:regAddress|REGS|xmmAddress|XMM|YMM_HIGH|FLAG_(?:ZR|SR|CV|AR))\b/g;

const FRONT_ENDS: readonly string[] = ['cli', 'web'];

/** Packages the core may import; everything else belongs to a front end. */
const CORE_PACKAGES: readonly string[] = ['iced-x86'];

/** Words that would make a run depend on more than its inputs, or tie the core to one host. */
const IMPURE = ['Date', 'Math.random', 'performance', 'crypto', 'process', 'setTimeout', 'setInterval', 'globalThis'];
const IMPURE_PATTERN = new RegExp(`(?<![\\w$.])(?:${IMPURE.join('|').replaceAll('.', '\\.')})(?![\\w$])(?!\\s*:)`, 'g');

/** Complaints about one source file, each a line; `path` is relative to src/, as in 'cpu/decode/decode.ts'. */
export function borderComplaints(path: string, source: string): string[] {
  const room = roomOf(path);
  if (room === undefined) return path.endsWith('.d.ts') ? [] : [`src/${path}: lies in no known room`];
  if (room === 'cpu' && cpuRoomOf(path) < 0) return [`src/${path}: lies in no known room of src/cpu`];
  const { code, codeWithoutStrings } = withoutComments(source);
  const complaints = importsIn(code).map((target) => importComplaint(path, room, target));
  if (!FRONT_ENDS.includes(room)) {
    for (const [word] of codeWithoutStrings.matchAll(IMPURE_PATTERN)) complaints.push(`uses ${word} in the core`);
  }
  if (path.startsWith('cpu/semantics/')) {
    for (const [place] of codeWithoutStrings.matchAll(PLACES))
      complaints.push(`names ${place} where a binding answers`);
  }
  return complaints.filter((text) => text !== undefined).map((text) => `src/${path}: ${text}`);
}

/** Complaints about a file outside src/: scripts may use what tests share, but tests know nothing of scripts. */
export function outerComplaints(path: string, source: string): string[] {
  const targets = importsIn(withoutComments(source).code).filter((target) => target.startsWith('.'));
  const reached = targets.map((target) => new URL(target, `file:///${path}`).pathname.slice(1));
  return reached
    .filter((target) => outOfBounds(path, target))
    .map((target) => `${path}: imports ${target}, which is not for it`);
}

function outOfBounds(path: string, target: string): boolean {
  if (path.startsWith('test/')) return /^(?:scripts|bench)\//.test(target) || target.endsWith('.test.ts');
  return target.endsWith('.test.ts');
}

const cpuRoomOf = (path: string): number => CPU_ROOMS.findIndex((room) => path.startsWith(`cpu/${room}/`));

function cpuComplaint(path: string, reached: string): string | undefined {
  const [from, to] = [cpuRoomOf(path), cpuRoomOf(reached)];
  return to > from ? `imports cpu/${CPU_ROOMS[to]} from cpu/${CPU_ROOMS[from]}` : undefined;
}

const roomOf = (path: string): string | undefined => ROOMS.find((room) => path.startsWith(`${room}/`));

function importComplaint(path: string, room: string, target: string): string | undefined {
  if (target.startsWith('.')) return relativeComplaint(path, room, target);
  if (FRONT_ENDS.includes(room)) {
    return room === 'web' && target.startsWith('node:') ? `imports ${target} in a page` : undefined;
  }
  return CORE_PACKAGES.includes(target) ? undefined : `imports ${target} in the core`;
}

function relativeComplaint(path: string, room: string, target: string): string | undefined {
  const reached = new URL(target, `file:///src/${path}`).pathname;
  if (!reached.startsWith('/src/')) return `imports ${target}, outside src`;
  if (!target.endsWith('.ts')) return `imports ${target} without its .ts`;
  const other = roomOf(reached.slice('/src/'.length));
  if (other === undefined) return `imports ${target}, which lies in no known room`;
  const order: readonly string[] = ROOMS;
  if (room === 'web' && other === 'cli') return 'imports room cli from room web';
  if (room === 'cpu' && other === 'cpu') return cpuComplaint(path, reached.slice('/src/'.length));
  return order.indexOf(other) > order.indexOf(room) ? `imports room ${other} from room ${room}` : undefined;
}

const IMPORT_PATTERN =
  /(?<![\w$.])(?:(?:import|export)\s[^'"`;]*?\bfrom\s*|import\s*\(?\s*)(?<quote>['"`])(?<target>[^'"`]*)\k<quote>/g;

function importsIn(code: string): string[] {
  return [...code.matchAll(IMPORT_PATTERN)].map((match) => match.groups?.['target'] ?? '');
}

/** What the pieces of a source file look like, the first that fits at a place wins. */
const PIECES = new RegExp(
  [
    String.raw`(?<comment>\/\/[^\n]*|\/\*[^]*?\*\/)`,
    String.raw`(?<string>'(?:\\[^]|[^'\\\n])*'|"(?:\\[^]|[^"\\\n])*")`,
    String.raw`(?<template>\x60(?:\\[^]|[^\x60\\])*\x60)`,
    // A slash after an operator, an opening bracket or `return` starts a regular expression, else it divides.
    String.raw`(?<=(?:^|[=(,:[!&|?{};<>+*%~^-]|=>|\breturn)\s*)(?<regex>\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*)`,
  ].join('|'),
  'g',
);

// Expressions inside a template stay in view: only the words around them are text.
function withoutComments(source: string): { code: string; codeWithoutStrings: string } {
  const code = source.replace(PIECES, (piece, ...rest) => (groupsOf(rest)['comment'] === undefined ? piece : ' '));
  const codeWithoutStrings = code.replace(PIECES, (piece, ...rest) =>
    groupsOf(rest)['template'] === undefined ? ' ' : [...piece.matchAll(/\$\{([^}]*)\}/g)].map((m) => m[1]).join(' '),
  );
  return { code, codeWithoutStrings };
}

const groupsOf = (rest: unknown[]): Record<string, string | undefined> =>
  rest.at(-1) as Record<string, string | undefined>;
