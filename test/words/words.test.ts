// Every finding has words and every word a finding: what the sources of the audit and of the diagnosis can give is held
// against the tables.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { hintLines } from '../../src/report/hints.ts';
import * as link from '../../src/words/link.ts';
import { HINTS } from '../../src/words/hints.ts';
import { isOfCode, RULE_IDS, RULES } from '../../src/words/rules.ts';
import { CONFIG, outcomeOf } from '../report/result.ts';

const src = fileURLToPath(new URL('../../src/', import.meta.url));
const sourcesOf = (...rooms: readonly string[]): string[] =>
  rooms.flatMap((room) =>
    readdirSync(`${src}${room}`, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => readFileSync(`${src}${room}/${path}`, 'utf8')),
  );

/** What a finding is made with: `rule: 'x'`, `rule: a ? 'x' : 'y'`, and the two makers that take the rule first. */
const MADE = /\brule: ([^\n]*)|\b(?:finding|attempt)\(('[a-z-]+')/g;
const given = new Set(
  sourcesOf('audit').flatMap((source) =>
    [...source.matchAll(MADE)].flatMap(([, value = '', first = '']) =>
      [...`${value.split(', ')[0]} ${first}`.matchAll(/(?<!\[)'([a-z-]+)'/g)].map(([, id]) => id),
    ),
  ),
);

describe('the words of findings', () => {
  it('are there for every rule that an audit can give, and for no other', () => {
    expect(given).toEqual(new Set(RULE_IDS));
  });

  it.each(RULE_IDS)('of %s say what it is, what comes of it and what to do', (id) => {
    const { name, short, full, help, tags } = RULES[id];
    expect(name).toMatch(/^(?:[A-Z][a-z]+)+$/);
    expect(short).toMatch(/^[A-Z][^\n]*\.$/);
    for (const text of [full, ...help.split('\n')]) expect(text).toMatch(/^[^\n]{30,}\.$/);
    expect(tags).toContain('x86-64');
  });

  it('have a name and a sentence each of their own', () => {
    const texts = RULE_IDS.flatMap((id) => [RULES[id].name, RULES[id].short, RULES[id].full]);
    expect(new Set(texts).size).toBe(texts.length);
  });

  it('are of code where what is found is an instruction', () => {
    expect(RULE_IDS.filter(isOfCode)).toEqual([
      ...['position-dependent-reference', 'kernel-address-before-mapping', 'breaks-without-pie'],
    ]);
  });

  it('stand nowhere else', () => {
    const elsewhere = sourcesOf('audit', 'diagnose', 'report', 'code', 'cli').join('\n');
    const sentences = [...Object.values(link), ...Object.values(HINTS), ...RULE_IDS.map((id) => RULES[id].short)];
    expect(sentences.filter((text) => elsewhere.includes(text))).toEqual([]);
  });
});

describe('the hints', () => {
  const halt = outcomeOf({ kind: 'halt', rip: 1n, interruptsEnabled: false });
  const noRoot = outcomeOf({
    kind: 'panic',
    message: 'VFS: Unable to mount root fs on unknown-block(0,0)',
    callTrace: [],
  });
  const told = [
    hintLines({ ...CONFIG, until: 'end' }, noRoot, { console: '' }),
    hintLines(CONFIG, halt, { console: 'Xen dom0 kernel not specified' }),
    hintLines(CONFIG, halt, { console: 'No bootstrap code loaded with the kernel' }),
  ];

  it('are given one by one, and all of them are', () => {
    expect(told.map((lines) => lines.length)).toEqual([1, 1, 1]);
    expect(told.flat()).toEqual(Object.values(HINTS));
  });
});
