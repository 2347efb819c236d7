// Which exports nobody imports, as a function from source texts to complaints. Read from the text, since that is all it takes:
// what is exported is declared at the left margin, and imports name their files.
import { dirname, join } from 'node:path/posix';

/** Source texts by path from the root. */
export type Sources = ReadonlyMap<string, string>;

const DECLARED =
  /^export (?:declare )?(?:abstract )?(?:async )?(?:const enum|const|let|function\*?|class|type|interface|enum) (\w+)/gm;
const DESTRUCTURED = /^export const [[{]([^\]}]*)[\]}] =/gm;
const LISTED = /^export (?:type )?\{([^}]*)\}/gm;
const DEFAULT = /^export default/m;
const IMPORTED = /^(?:import|export) (?:type )?(?:(\w+),? ?)?(?:\{([^}]*)\}|\* as (\w+)|\*)? ?from '(\.[^']+)'/gm;
const ONE_BY_ONE = /\bimport\('(\.[^']+)'\)(?:\.(\w+))?/g;

const namesIn = (list: string): string[] =>
  list
    .split(',')
    .map((each) => each.trim().replace(/^type /, ''))
    .filter((each) => each !== '');
const before = (name: string): string => name.split(' as ')[0] as string;
const after = (name: string): string => name.split(' as ').at(-1) as string;

/** Names that a file exports. */
export function exportsOf(text: string): string[] {
  return [
    ...[...text.matchAll(DECLARED)].map(([, name]) => name as string),
    ...[...text.matchAll(DESTRUCTURED)].flatMap(([, list]) => namesIn(list as string)),
    ...[...text.matchAll(LISTED)].flatMap(([, list]) => namesIn(list as string).map(after)),
    ...(DEFAULT.test(text) ? ['default'] : []),
  ];
}

/** What a file takes from others: names by path, `*` for all that it may name. */
function takenBy(path: string, text: string): [path: string, name: string][] {
  const resolved = (from: string): string => join(dirname(path), from);
  const taken: [string, string][] = [];
  for (const [, whole, list, space, from] of text.matchAll(IMPORTED)) {
    const source = resolved(from as string);
    if (whole !== undefined) taken.push([source, 'default']);
    for (const name of namesIn(list ?? '')) taken.push([source, before(name)]);
    if (space !== undefined)
      for (const [, name] of text.matchAll(new RegExp(`\\b${space}\\.(\\w+)`, 'g')))
        taken.push([source, name as string]);
    if (whole === undefined && list === undefined && space === undefined) taken.push([source, '*']);
    // A namespace that is handed on whole may be asked for anything.
    if (space !== undefined && new RegExp(`\\b${space}\\b(?!\\.)(?! from)`).test(text)) taken.push([source, '*']);
  }
  for (const [, from, name] of text.matchAll(ONE_BY_ONE)) taken.push([resolved(from as string), name ?? '*']);
  return taken;
}

const TYPE = (name: string): RegExp => new RegExp(`^export (?:declare )?(?:type|interface) ${name}\\b`, 'm');

/** A type that its own file names again is part of what its other exports take and give. */
const isOfOthers = (text: string, name: string): boolean =>
  TYPE(name).test(text) && [...text.matchAll(new RegExp(`\\b${name}\\b`, 'g'))].length > 1;

/** @param kept files whose exports are for others, outside @returns `path: name` of each export that no other file takes */
export function unusedExports(
  sources: Sources,
  looked: (path: string) => boolean,
  kept: ReadonlySet<string>,
): string[] {
  const taken = new Set([...sources].flatMap(([path, text]) => takenBy(path, text).map((each) => each.join(': '))));
  return [...sources].flatMap(([path, text]) =>
    !looked(path) || kept.has(path) || taken.has(`${path}: *`)
      ? []
      : exportsOf(text)
          .filter((name) => !isOfOthers(text, name))
          .map((name) => `${path}: ${name}`)
          .filter((each) => !taken.has(each)),
  );
}
