// How semantics become handlers. A definition names a mnemonic, the shapes of its operands and one function against
// abstract operands; every combination of shape and size becomes a handler with a key such as `add r64,m64`, by which
// the decoder finds it. Operand letters: r general register, m memory by a flat 64-bit address, g memory by any address,
// i immediate (sign-extended to the operand's size), a address only (LEA).

import type { Intent, Operand, Slot } from './emission.ts';
import type { Emitter } from './emitter.ts';
import type { Bytes } from '../state/width.ts';

export type Kind = 'r' | 'm' | 'g' | 'i';
export type OperandSpec = { readonly kind: Kind; readonly bytes: Bytes };

export type Handler = { readonly key: string; readonly build: (e: Emitter) => void };

const LETTERS: Record<string, readonly Kind[]> = { r: ['r'], i: ['i'], M: ['m', 'g'], E: ['r', 'm', 'g'] };
/** Register operands take the slots in order. */
const SLOTS: readonly Slot[] = ['first', 'second', 'third'];

export const ALL_SIZES: readonly Bytes[] = [1, 2, 4, 8];
export const WORD_SIZES: readonly Bytes[] = [2, 4, 8];
/** Near stack operands other than the 8 bytes of 64-bit mode, which have handlers of their own. */
export const LEGACY_STACK_SIZES = [2, 4] as const;

const operandText = (spec: OperandSpec): string => `${spec.kind}${spec.bytes * 8}`;
export const handlerKey = (name: string, operands: readonly OperandSpec[]): string =>
  operands.length ? `${name} ${operands.map(operandText).join()}` : name;

/** Every combination of operand kinds of a shape like `E,r` (register or memory, register). */
function expandShape(shape: string): Kind[][] {
  const places = shape === '' ? [] : shape.split(',');
  return places.reduce<Kind[][]>(
    (lists, place) => lists.flatMap((list) => (LETTERS[place] ?? []).map((kind) => [...list, kind])),
    [[]],
  );
}

/** Operands of one form, of the instruction that the emitter is bound to. */
export function bindOperands(e: Emitter, specs: readonly OperandSpec[], intents: readonly Intent[]): Operand[] {
  let registers = 0;
  return specs.map((spec, place) => {
    if (spec.kind === 'i') return e.immediate(spec.bytes);
    if (spec.kind !== 'r') return e.memory(spec.bytes, spec.kind === 'm', intents[place] ?? 'read');
    const slot = SLOTS[registers++];
    if (slot === undefined) throw new Error('a form has three registers at most');
    return e.register(slot, spec.bytes, intents[place]);
  });
}

export type Definition = {
  /** Mnemonic in lower case, as the decoder spells it. */
  readonly name: string;
  /** Shapes, e.g. ['E,r', 'r,E', 'E,i']: E register or memory, M memory only, r register, i immediate. */
  readonly shapes: readonly string[];
  /** Sizes of the operands: one number for all of them, or a list with one for each place. */
  readonly sizes: readonly (Bytes | readonly Bytes[])[];
  /** For each place; 'read' where not said. Matters for memory only. */
  readonly intents?: readonly Intent[];
  /** Emits the effect; must not end the handler (it goes on to the next instruction by itself). */
  readonly effect: (e: Emitter, d: Operand, s: Operand, t: Operand, u: Operand) => void;
};

/** Handlers of a definition, one for each form. */
export function handlersOf(definition: Definition): Handler[] {
  const { name, shapes, sizes, intents = [], effect } = definition;
  const out = new Map<string, Handler>();
  for (const shape of shapes) {
    for (const kinds of expandShape(shape)) {
      for (const size of sizes) {
        const specs = kinds.map((kind, place) => ({ kind, bytes: sizeAt(size, place) }));
        const key = handlerKey(name, specs);
        out.set(key, {
          key,
          build: (e) => {
            const [d, s, t, u] = bindOperands(e, specs, intents);
            effect(e, d as Operand, s as Operand, t as Operand, u as Operand);
            e.next();
          },
        });
      }
    }
  }
  return [...out.values()];
}

function sizeAt(size: Bytes | readonly Bytes[], place: number): Bytes {
  if (typeof size === 'number') return size;
  const found = size[place];
  if (found === undefined) throw new Error('a size is missing');
  return found;
}
