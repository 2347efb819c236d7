// Module encoder: collects types, imports, functions, one table, globals and exports and writes them as a WebAssembly
// binary (WebAssembly Core 2.0, section 5.5), one function a section. The memory is always imported.

import { ByteSink, type Code, flatten, type Local, typeByte, unsignedLeb, type ValType } from './code.ts';

export type FuncType = { readonly params: readonly ValType[]; readonly results: readonly ValType[] };

/** A function under construction: its parameters, and locals that scopes give back for reuse. */
export class FunctionBuilder {
  readonly #params: readonly ValType[];
  readonly #locals: ValType[] = [];
  readonly #free: Record<ValType, number[]> = { i32: [], i64: [], v128: [] };
  #scope: Local<ValType>[] | undefined;

  constructor(params: readonly ValType[]) {
    this.#params = params;
  }

  param<T extends ValType>(index: number, type: T): Local<T> {
    if (this.#params[index] !== type) throw new Error(`parameter ${index} is not ${type}`);
    return { type, index };
  }

  local<T extends ValType>(type: T): Local<T> {
    const index = this.#free[type].pop() ?? this.#params.length + this.#locals.push(type) - 1;
    const made = { type, index };
    this.#scope?.push(made);
    return made;
  }

  /** Locals made inside are free again afterwards; their values do not outlive the scope. */
  scoped<R>(build: () => R): R {
    const outer = this.#scope;
    const mine: Local<ValType>[] = [];
    this.#scope = mine;
    const result = build();
    for (const local of mine) this.#free[local.type].push(local.index);
    this.#scope = outer;
    return result;
  }

  /** Locals and code, without the size before them. @param scratch emptied first */
  encode(body: Code, scratch: ByteSink): Uint8Array {
    scratch.length = 0;
    scratch.append(unsignedLeb(this.#locals.length));
    for (const type of this.#locals) scratch.append([1, typeByte(type)]);
    flatten(body, scratch);
    scratch.push(0x0b);
    return scratch.taken();
  }
}

type Import = { module: string; name: string; typeIndex: number };

const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];
const vector = (items: readonly (readonly number[])[]): number[] => [...unsignedLeb(items.length), ...items.flat()];
const name = (text: string): number[] => {
  const bytes = bytesOf(text);
  return [...unsignedLeb(bytes.length), ...bytes];
};

export class ModuleBuilder {
  readonly #types: FuncType[] = [];
  readonly #imports: Import[] = [];
  readonly #functions: { typeIndex: number; body: Uint8Array | undefined }[] = [];
  readonly #exports: number[][] = [];
  readonly #scratch = new ByteSink();
  #table: number[] = [];

  typeIndex(params: readonly ValType[], results: readonly ValType[]): number {
    const same = (a: readonly string[], b: readonly string[]): boolean => a.join() === b.join();
    const known = this.#types.findIndex((type) => same(type.params, params) && same(type.results, results));
    return known >= 0 ? known : this.#types.push({ params, results }) - 1;
  }

  /** Function imports come before every function of our own, because they share one index space. */
  importFunction(module: string, importName: string, params: readonly ValType[], results: readonly ValType[]): number {
    if (this.#functions.length) throw new Error('imports come first');
    return this.#imports.push({ module, name: importName, typeIndex: this.typeIndex(params, results) }) - 1;
  }

  /** Reserves an index, so that functions can call each other whatever their order. */
  declare(params: readonly ValType[], results: readonly ValType[]): number {
    this.#functions.push({ typeIndex: this.typeIndex(params, results), body: undefined });
    return this.#imports.length + this.#functions.length - 1;
  }

  define(index: number, build: (fn: FunctionBuilder) => Code): void {
    const entry = this.#functions[index - this.#imports.length];
    if (!entry) throw new Error(`no function ${index}`);
    const fn = new FunctionBuilder(this.#types[entry.typeIndex]?.params ?? []);
    entry.body = fn.encode(build(fn), this.#scratch);
  }

  function(params: readonly ValType[], results: readonly ValType[], build: (fn: FunctionBuilder) => Code): number {
    const index = this.declare(params, results);
    this.define(index, build);
    return index;
  }

  exportFunction(exportName: string, index: number): void {
    this.#exports.push([...name(exportName), 0, ...unsignedLeb(index)]);
  }

  /** Entries of table 0, in order. */
  table(functions: readonly number[]): void {
    this.#table = [...functions];
  }

  /** @param memory where the memory is imported from, with its smallest size in 64 KiB pages */
  encode(memory: { module: string; name: string; minPages: number }): Uint8Array<ArrayBuffer> {
    const out = new ByteSink();
    out.append([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const section = (id: number, content: ArrayLike<number>): void => {
      if (content.length <= 1) return;
      out.push(id);
      out.append(unsignedLeb(content.length));
      out.append(content);
    };
    section(1, this.#typeSection());
    section(2, this.#importSection(memory));
    section(3, vector(this.#functions.map((fn) => unsignedLeb(fn.typeIndex))));
    section(4, this.#table.length ? vector([[0x70, 0, ...unsignedLeb(this.#table.length)]]) : []);
    section(7, vector(this.#exports));
    section(9, this.#elementSection());
    section(10, this.#codeSection());
    return out.taken();
  }

  #typeSection(): number[] {
    const types = (list: readonly ValType[]): number[] => vector(list.map((type) => [typeByte(type)]));
    return vector(this.#types.map((type) => [0x60, ...types(type.params), ...types(type.results)]));
  }

  #importSection(memory: { module: string; name: string; minPages: number }): number[] {
    const functions = this.#imports.map((i) => [...name(i.module), ...name(i.name), 0, ...unsignedLeb(i.typeIndex)]);
    return vector([
      ...functions,
      [...name(memory.module), ...name(memory.name), 2, 0, ...unsignedLeb(memory.minPages)],
    ]);
  }

  #elementSection(): number[] {
    if (!this.#table.length) return [];
    return vector([[0, 0x41, 0, 0x0b, ...vector(this.#table.map((index) => unsignedLeb(index)))]]);
  }

  #codeSection(): Uint8Array {
    const out = new ByteSink();
    out.append(unsignedLeb(this.#functions.length));
    for (const { body } of this.#functions) {
      if (!body) throw new Error('a declared function was never defined');
      out.append(unsignedLeb(body.length));
      out.append(body);
    }
    return out.taken();
  }
}
