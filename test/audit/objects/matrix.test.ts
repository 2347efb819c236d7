// What is predicted of every object of the link matrix, against what each real linker did with it.
import { describe, expect, it } from 'vitest';
import { moldSlots, predictLinks } from '../../../src/audit/objects/predict.ts';
import { scopeOf } from '../../../src/audit/objects/resolve.ts';
import { TRIED_WITH } from '../../../src/audit/objects/rules.ts';
import type { Linker, LinkPrediction } from '../../../src/audit/types.ts';
import { parseObject } from '../../../src/image/object.ts';
import { type LinkSet, matrix, objectBytes } from './matrix.ts';

/** Symbols that the linker scripts of the matrix define. */
const SCRIPT_SYMBOLS = new Set(['script_symbol', '_bss', '_ebss', '_end', '_got', '_egot']);

interface Command {
  readonly linker: Linker;
  readonly pie: boolean;
  readonly relax: boolean;
  readonly noRelocOverflow: boolean;
}

const COMMANDS: readonly Command[] = Object.keys(matrix.commands).map((name) => ({
  linker: name.split(' ')[0] as Linker,
  pie: name.includes('-pie'),
  relax: !name.includes('--no-relax'),
  noRelocOverflow: name.includes('noreloc-overflow'),
}));

/** Predictions of all objects of a set that are observed, by object; `alone`: each as if it were the only one known. */
function predictSet(set: LinkSet, { relax, noRelocOverflow }: Command, alone: boolean): Map<string, LinkPrediction[]> {
  const names = Object.keys(set.cells);
  const objects = new Map(
    [...names, ...set.with].map((name) => [name, parseObject(objectBytes(set.archive, name), name)]),
  );
  const scope = scopeOf([...objects.values()], SCRIPT_SYMBOLS);
  const slots = new Set([...objects.values()].flatMap((object) => [...moldSlots(object, scope)]));
  const options = { relax, noRelocOverflow, ...(alone ? {} : { scope, moldSlots: slots }) };
  return new Map(names.map((name) => [name, predictLinks(objects.get(name)!, { ...options, name })]));
}

/** "bfd -pie, mov64.other-function.o: predicted ..., was ..." for every cell that differs; and how many there were. */
function compare(set: LinkSet, alone = false): { cells: number; wrong: string[] } {
  const wrong: string[] = [];
  let cells = 0;
  for (const [i, command] of COMMANDS.entries()) {
    const predicted = predictSet(set, command, alone);
    const result = (p: LinkPrediction): string => p.results[command.linker][command.pie ? 'pie' : 'noPie'];
    const all = [...predicted.values()].flat().map(result);
    for (const [name, texts] of Object.entries(set.cells)) {
      const text = texts[i];
      if (text === null || text === undefined || text === '') continue;
      const own = predicted.get(name)!.map(result);
      // A linker that refuses one reference makes no file at all.
      const refused = text.startsWith('!');
      const seen = refused ? ['error'] : text.split(',').map((site) => site.split(' ')[0]!);
      const expected = all.includes('error') ? ['error'] : own;
      cells += refused ? 1 : seen.length;
      if (seen.join() !== expected.join())
        wrong.push(`${Object.keys(matrix.commands)[i]}, ${name}: predicted ${expected.join()}, was ${seen.join()}`);
    }
  }
  return { cells, wrong };
}

describe('predictLinks against real linkers', () => {
  it('comes from the versions that the texts name', () => {
    const said = Object.values(TRIED_WITH).map((text) => /[\d.]+/.exec(text)?.[0]);
    const tools = ['ld.bfd', 'ld.gold', 'ld.lld', 'mold'].map((tool) => matrix.tools[tool] ?? '');
    for (const [i, version] of said.entries()) expect(tools[i]).toContain(version);
  });

  const stubs = matrix.sets.filter(({ archive }) => archive !== 'rows');
  it.each(stubs.map((set) => [set.name, set] as const))('is right in every cell of the stub %s', (_, set) => {
    const { cells, wrong } = compare(set);
    expect(wrong).toEqual([]);
    expect(cells).toBeGreaterThan(100);
  });

  const rows = matrix.sets.filter(({ archive }) => archive === 'rows');
  it('is right in every cell of the hand-written rows', () => {
    const results = rows.map((set) => compare(set));
    expect(results.flatMap(({ wrong }) => wrong)).toEqual([]);
    expect(results.reduce((sum, { cells }) => sum + cells, 0)).toBeGreaterThan(13_000);
  });

  it('needs no other object where a symbol is a function or an object of default visibility', () => {
    const assumed = rows.filter(({ name }) => /\.other-(?:function|object|common|weak-function)$/.test(name));
    expect(assumed.length).toBeGreaterThan(50);
    expect(assumed.flatMap((set) => compare(set, true).wrong)).toEqual([]);
  });
});
