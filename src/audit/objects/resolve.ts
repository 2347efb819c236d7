// Which definition a symbol of an object file comes to among the objects given (gABI, "Symbol Table": a global definition
// goes before a common one, and that before a weak one; the most constraining visibility of all mentions holds). What no
// object defines is taken for defined in the output, by the linker script or an object that was not given; weak symbols
// that nobody defines are 0.
import type { ObjectFile, ObjectSymbol } from '../../image/object.ts';

/** What about a symbol decides how linkers treat references to it; columns of the rules. */
export type SymbolClass =
  /** Defined in the same object, STB_LOCAL, without a type; section symbols too. */
  | 'local'
  /** STB_LOCAL, a function or an object: assemblers refer to those through the section symbol, but for the GOT. */
  | 'local-typed'
  /** Defined with default visibility, as a function, an object or common storage. */
  | 'global'
  /** The same without a type, as labels in assembly are. */
  | 'label'
  /** Defined by the linker script, where it is known to be. */
  | 'script'
  /** Defined as hidden (or internal, which linkers treat alike). */
  | 'hidden'
  /** Defined with default visibility, mentioned as hidden. */
  | 'hidden-reference'
  | 'protected'
  /** SHN_ABS: a number that does not move with the image. */
  | 'absolute'
  | 'local-absolute'
  /** Symbol 0, value 0: how the assembler refers to a plain number. */
  | 'no-symbol'
  /** Weak and defined nowhere: 0. */
  | 'weak-undefined'
  | 'weak-undefined-hidden';

export interface Resolution {
  readonly class: SymbolClass;
  /** The same for all mentions of one symbol in all objects given. */
  readonly key: string;
  /** No object given defines it; class 'global' is an assumption. */
  readonly assumed: boolean;
}

/** Objects that are linked together. */
export interface Scope {
  /** Undefined for symbols that are no address: thread-local, IFUNC, reserved sections. */
  readonly resolve: (object: ObjectFile, symbol: number) => Resolution | undefined;
}

interface Mentions {
  definition: ObjectSymbol | undefined;
  hidden: boolean;
  /** Some mention is a plain undefined reference. */
  strong: boolean;
}

/**
 * @param objects the objects of the link that are known; the one asked about need not be the only one
 * @param scriptSymbols names the linker script is known to define
 */
export function scopeOf(objects: readonly ObjectFile[], scriptSymbols: ReadonlySet<string> = new Set()): Scope {
  const mentions = new Map<string, Mentions>();
  for (const { symbols } of objects) for (const symbol of symbols) if (isShared(symbol)) mention(mentions, symbol);
  const numbers = new Map(objects.map((object, i) => [object, i]));
  return {
    resolve: (object, index) => {
      const symbol = object.symbols[index];
      if (index === 0) return { class: 'no-symbol', key: '', assumed: false };
      if (symbol === undefined || !isAddress(symbol)) return undefined;
      if (symbol.section === 'undefined' && scriptSymbols.has(symbol.name))
        return { class: 'script', key: `:${symbol.name}`, assumed: false };
      if (isShared(symbol)) return { ...sharedClass(symbol, mentions.get(symbol.name)), key: `:${symbol.name}` };
      return { class: localClass(symbol), key: `${numbers.get(object)}:${index}`, assumed: false };
    },
  };
}

const isShared = ({ binding, name }: ObjectSymbol): boolean =>
  (binding === 'global' || binding === 'weak') && name !== '';

const isAddress = ({ type, section }: ObjectSymbol): boolean =>
  type !== 'tls' && type !== 'ifunc' && type !== 'other' && section !== 'reserved';

function mention(all: Map<string, Mentions>, symbol: ObjectSymbol): void {
  const entry = all.get(symbol.name) ?? { definition: undefined, hidden: false, strong: false };
  all.set(symbol.name, entry);
  if (symbol.visibility === 'hidden' || symbol.visibility === 'internal') entry.hidden = true;
  if (symbol.section === 'undefined') {
    if (symbol.binding !== 'weak') entry.strong = true;
  } else if (strength(symbol) > strength(entry.definition)) entry.definition = symbol;
}

function strength(symbol: ObjectSymbol | undefined): number {
  if (symbol === undefined) return 0;
  if (symbol.binding === 'weak') return 1;
  return symbol.section === 'common' ? 2 : 3;
}

function sharedClass(symbol: ObjectSymbol, mentions: Mentions | undefined): Pick<Resolution, 'class' | 'assumed'> {
  // An object outside the scope speaks for itself.
  const definition = mentions?.definition ?? (symbol.section === 'undefined' ? undefined : symbol);
  const hidden = mentions?.hidden ?? symbol.visibility === 'hidden';
  if (definition !== undefined) return { class: definedClass(definition, hidden), assumed: false };
  const strong = mentions?.strong ?? symbol.binding !== 'weak';
  if (strong) return { class: hidden ? 'hidden' : 'global', assumed: true };
  return { class: hidden ? 'weak-undefined-hidden' : 'weak-undefined', assumed: true };
}

function localClass({ section, type }: ObjectSymbol): SymbolClass {
  if (section === 'absolute') return 'local-absolute';
  return type === 'func' || type === 'object' ? 'local-typed' : 'local';
}

function definedClass({ section, visibility, type }: ObjectSymbol, hidden: boolean): SymbolClass {
  if (section === 'absolute') return 'absolute';
  if (visibility === 'hidden' || visibility === 'internal') return 'hidden';
  if (hidden) return 'hidden-reference';
  if (visibility === 'protected') return 'protected';
  return type === 'notype' ? 'label' : 'global';
}
