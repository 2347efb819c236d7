// Nothing is exported that no other file takes. What package.json offers to others is excepted.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { exportsOf, type Sources, unusedExports } from './exports.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const sources: Sources = new Map(
  ['src', 'test', 'scripts', 'bench', 'samples'].flatMap((room) =>
    readdirSync(`${root}${room}`, { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.(?:ts|mjs)$/.test(path) && !path.endsWith('.d.ts'))
      .map((path): [string, string] => [`${room}/${path}`, readFileSync(`${root}${room}/${path}`, 'utf8')]),
  ),
);
const LOOKED = /^(?:src|test\/support|scripts)\/.*\.ts$/;

/** Files that package.json names as what others import; dist/ is built of src/. */
function publicFiles(): Set<string> {
  const { exports = {}, main = '' } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  const named = JSON.stringify([exports, main]).match(/dist\/[^"]+/g) ?? [];
  return new Set(named.map((path) => path.replace(/^dist\//, 'src/').replace(/\.js$/, '.ts')));
}

describe('an export', () => {
  it('is taken by another file', () => {
    expect(sources.size).toBeGreaterThan(500);
    expect(unusedExports(sources, (path) => LOOKED.test(path), publicFiles())).toEqual([]);
  });

  it.each([
    ['export const a = 1;', ['a']],
    ['export function* a() {}\nexport async function b() {}', ['a', 'b']],
    ['export type A = 1;\nexport interface B {}\nexport class C {}', ['A', 'B', 'C']],
    ['export const [a, b] = f();\nconst c = 1;\nexport { c as d };\nexport default c;', ['a', 'b', 'd', 'default']],
  ])('is seen in %j', (text, names) => {
    expect(exportsOf(text)).toEqual(names);
  });

  it.each([
    ["import { a } from './a.ts';", ['src/a.ts: b']],
    ["import { type a as c, b } from './a.ts';", []],
    ["import * as n from './a.ts';\nn.b();", ['src/a.ts: a']],
    ["import * as n from './a.ts';\nf(n);", []],
    ["export { b } from './a.ts';", ['src/a.ts: a', 'src/b.ts: b']],
    ["type A = import('./a.ts').a;", ['src/a.ts: b']],
    ["import {\n  a,\n  b,\n} from './a.ts';", []],
    ["import { a, b } from './c.ts';", ['src/a.ts: a', 'src/a.ts: b']],
  ])('is taken or not by %j', (text, unused) => {
    const made = new Map([
      ['src/a.ts', 'export const a = 1;\nexport const b = 2;'],
      ['src/b.ts', text],
    ]);
    expect(unusedExports(made, () => true, new Set())).toEqual(unused);
  });

  it('is none that is missed where it is a type of what else is exported', () => {
    const made = new Map([
      ['src/a.ts', 'export type A = 1;\nexport interface B {}\nexport const f = (a: A): A => a;'],
      ['src/b.ts', "import { f } from './a.ts';"],
    ]);
    expect(unusedExports(made, () => true, new Set())).toEqual(['src/a.ts: B']);
  });

  it('may be for others, where package.json says so', () => {
    const made = new Map([['src/a.ts', 'export const a = 1;']]);
    expect(unusedExports(made, () => true, new Set(['src/a.ts']))).toEqual([]);
  });
});
