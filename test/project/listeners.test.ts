// Nothing that runs has a place for one listener: whoever came second would take it from the first. Who watches is
// registered (cpu/state/observers.ts), and what a part needs of its surroundings is given to it when it is made.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const src = fileURLToPath(new URL('../../src/', import.meta.url));
const ROOMS = ['cpu', 'devices', 'machine', 'boot', 'run', 'record', 'diagnose'];

const SHAPES = [
  /^ {2}(?!readonly )#?(\w+)\?: \(.*\) => .*;$/gm,
  /^ {2}(?!readonly )#?(\w+): \(\(.*\) => .*\) \| undefined(?: = .*)?;$/gm,
  /^ {2}(?!readonly )#?(on[A-Z]\w*)\??: /gm,
  /\.#?(on[A-Z]\w*) (?:\?\?)?= /g,
];

/** Optional callbacks that can be assigned, private ones too, and whatever is called as a listener is. */
function listeners(text: string): string[] {
  const code = text.replaceAll(/\/\*[^]*?\*\/|\/\/.*$/gm, '');
  return [...new Set(SHAPES.flatMap((shape) => [...code.matchAll(shape)].map(([, name]) => name as string)))];
}

it.each([
  ['  onByte: ((byte: number) => void) | undefined;', ['onByte']],
  ['  #told: (() => void) | undefined;', ['told']],
  ['  told?: (insn: Instruction, context: Context) => boolean;', ['told']],
  ['    this.onLine = undefined;', ['onLine']],
  ['  onStage: StageListener | undefined;', ['onStage']],
  ['  readonly onCause?: (cause: Cause) => void;', []],
  ['  readonly #told: (byte: number) => void;', []],
  ['  byte?(byte: number): void;', []],
  ['  // onByte: (() => void) | undefined;', []],
])('%s: %j', (line, names) => {
  expect(listeners(line)).toEqual(names);
});

it('there is none in what runs', () => {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.ts') && ROOMS.some((room) => path.startsWith(`${room}/`)),
  );
  expect(files).toContain('cpu/interpret/engine.ts');
  const found = files.flatMap((path) =>
    listeners(readFileSync(`${src}${path}`, 'utf8')).map((name) => `${path}: ${name}`),
  );
  expect(found).toEqual([]);
});
