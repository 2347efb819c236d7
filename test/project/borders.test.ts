import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { borderComplaints, outerComplaints } from './borders.ts';

const src = fileURLToPath(new URL('../../src/', import.meta.url));
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));

describe('the borders between the rooms of src', () => {
  it('finds the sources', () => {
    expect(sources).toContain('bits/errors.ts');
  });

  it('are kept by every file', () => {
    expect(sources.flatMap((path) => borderComplaints(path, readFileSync(`${src}${path}`, 'utf8')))).toEqual([]);
  });
});

describe('the borders outside of src', () => {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const outer = ['test', 'scripts', 'bench'].flatMap((room) =>
    readdirSync(`${root}${room}`, { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.(?:ts|mjs)$/.test(path))
      .map((path) => `${room}/${path}`),
  );

  it('are kept by every file', () => {
    expect(outer).toContain('test/project/borders.test.ts');
    const own = /^test\/project\/borders/;
    expect(
      outer
        .filter((p) => !own.test(p))
        .flatMap((path) => outerComplaints(path, readFileSync(`${root}${path}`, 'utf8'))),
    ).toEqual([]);
  });

  it.each([
    ['a script from a test', 'test/a/b.test.ts', '../../scripts/x.ts', 'scripts/x.ts'],
    ['a benchmark from a test', 'test/a/b.ts', '../../bench/x.ts', 'bench/x.ts'],
    ['a test from a script', 'scripts/a/b.ts', '../../test/x/y.test.ts', 'test/x/y.test.ts'],
  ])('are kept against %s', (_what, path, target, reached) => {
    expect(outerComplaints(path, `import { x } from '${target}';`)).toEqual([
      `${path}: imports ${reached}, which is not for it`,
    ]);
  });
});

describe('the border check accepts', () => {
  it.each([
    ['an earlier room', 'cpu/state/a.ts', `import { hex } from '../../bits/hex.ts';`],
    ['its own room', 'bits/deep/a.ts', `import type { B } from '../b.ts';`],
    ['an earlier room of the processor', 'cpu/interpret/a.ts', `import type { B } from '../state/b.ts';`],
    ['Node in the command line', 'cli/a.ts', `import { readFileSync } from 'node:fs';\nconst now = Date.now();`],
    ['the decoder in the core', 'cpu/state/a.ts', `import { Decoder } from 'iced-x86';`],
    ['impure words in comments', 'cpu/state/a.ts', `// Date.now()\n/* Math.random() */\nexport const a = 1;`],
    ['impure words in strings', 'cpu/state/a.ts', `const text = 'the process' + \`crypto \${text}\`;`],
    ['impure words as properties', 'cpu/state/a.ts', `const o = { process: 1 };\no.performance = 2;`],
    ['a quote in a regular expression', 'cpu/state/a.ts', `const quote = /'/;\n// Date.now()\nconst b = '';`],
    ['import words in comments', 'cpu/state/a.ts', `// import { x } from 'node:fs';\nexport const a = 1;`],
  ])('%s', (_what, path, source) => {
    expect(borderComplaints(path, source)).toEqual([]);
  });
});

describe('the border check reports', () => {
  it.each([
    ['a later room', `import { x } from '../../machine/run.ts';`, 'imports room machine from room cpu'],
    ['a later room of the processor', `import { x } from '../mmu/x.ts';`, 'imports cpu/mmu from cpu/state'],
    ['a later room, as a type', `import type { X } from '../../boot/x.ts';`, 'imports room boot from room cpu'],
    [
      'a later room over several lines',
      `import {\n  x,\n  y,\n} from '../../cli/x.ts';`,
      'imports room cli from room cpu',
    ],
    ['a later room re-exported', `export * from '../../record/x.ts';`, 'imports room record from room cpu'],
    ['a later room for its effects', `import '../../record/x.ts';`, 'imports room record from room cpu'],
    ['a later room at run time', `const x = await import('../../report/x.ts');`, 'imports room report from room cpu'],
    ['a later room in a type', `let x: import('../../report/x.ts').X;`, 'imports room report from room cpu'],
    ['Node', `import { readFileSync } from 'node:fs';`, 'imports node:fs in the core'],
    ['Node without its prefix', `import { readFileSync } from "fs";`, 'imports fs in the core'],
    ['a file outside src', `import { x } from '../../../test/x.ts';`, 'imports ../../../test/x.ts, outside src'],
    ['a missing suffix', `import { x } from '../../bits/hex.js';`, 'imports ../../bits/hex.js without its .ts'],
    [
      'an unknown room',
      `import { x } from '../../attic/x.ts';`,
      'imports ../../attic/x.ts, which lies in no known room',
    ],
    ['the clock', `const start = Date.now();`, 'uses Date in the core'],
    ['the clock in a template', 'const text = `at ${Date.now()}`;', 'uses Date in the core'],
    ['chance', `const x = Math.random();`, 'uses Math.random in the core'],
    ['the timer', `const x = performance.now();`, 'uses performance in the core'],
  ])('%s', (_what, source, complaint) => {
    expect(borderComplaints('cpu/state/a.ts', source)).toEqual([`src/cpu/state/a.ts: ${complaint}`]);
  });

  it.each([
    [
      'the layout of records',
      `import * as rec from '../binding/recordLayout.ts';`,
      'imports cpu/binding from cpu/semantics',
    ],
    ['a binding', `import { recordOperands } from '../binding/records.ts';`, 'imports cpu/binding from cpu/semantics'],
    ['where a register is', `const rsp = i32.const(at.regAddress(4));`, 'names regAddress where a binding answers'],
    ['where a vector is', `const xmm0 = i32.const(at.XMM);`, 'names XMM where a binding answers'],
    ['where a flag is', `const zf = i64.load(i32.const(at.FLAG_ZR));`, 'names FLAG_ZR where a binding answers'],
  ])('%s in the definition of an instruction', (_what, source, complaint) => {
    expect(borderComplaints('cpu/semantics/a.ts', source)).toEqual([`src/cpu/semantics/a.ts: ${complaint}`]);
  });

  it('a file of the processor in none of its rooms', () => {
    expect(borderComplaints('cpu/stray.ts', '')).toEqual(['src/cpu/stray.ts: lies in no known room of src/cpu']);
  });

  it('a file in no room', () => {
    expect(borderComplaints('stray.ts', '')).toEqual(['src/stray.ts: lies in no known room']);
  });

  it('the command line imported by the page', () => {
    expect(borderComplaints('web/a.ts', `import { x } from '../cli/x.ts';`)).toEqual([
      'src/web/a.ts: imports room cli from room web',
    ]);
  });
});
