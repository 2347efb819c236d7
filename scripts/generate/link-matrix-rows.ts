// The hand-written rows of the link matrix: one instruction or word of data, one kind of symbol it refers to, as assembly.

/** What the reference leads to; `nowhere` is defined in no file. Definitions in another file stand in DEFINITIONS. */
interface SymbolRow {
  readonly kind: string;
  readonly symbol: string;
  /** Assembled with the reference. */
  readonly asm: string;
}

const here = (kind: string, ...lines: string[]): SymbolRow => ({ kind, symbol: 'here', asm: lines.join('\n') });
const other = (kind: string, symbol: string, ...lines: string[]): SymbolRow => ({
  kind,
  symbol,
  asm: lines.join('\n'),
});

const FUNCTION = ['.text', 'nop', '.type here,@function', 'here: ret', '.size here,1'];
const OBJECT = ['.data', '.quad 0', '.type here,@object', 'here: .quad 0', '.size here,8'];

const SYMBOLS: readonly SymbolRow[] = [
  here('here-local-function', ...FUNCTION),
  here('here-global-function', '.globl here', ...FUNCTION),
  here('here-hidden-function', '.globl here', '.hidden here', ...FUNCTION),
  here('here-protected-function', '.globl here', '.protected here', ...FUNCTION),
  here('here-weak-function', '.weak here', ...FUNCTION),
  here('here-local-object', ...OBJECT),
  here('here-global-object', '.globl here', ...OBJECT),
  here('here-hidden-object', '.globl here', '.hidden here', ...OBJECT),
  here('here-protected-object', '.globl here', '.protected here', ...OBJECT),
  here('here-common', '.comm here,8,8'),
  here('here-absolute', '.globl here', '.set here, 0x1234'),
  here('here-local-absolute', '.set here, 0x1234'),
  other('other-function', 'other_function'),
  other('other-object', 'other_object'),
  other('other-label', 'other_label'),
  other('other-hidden-function', 'other_hidden_function'),
  other('other-hidden-object', 'other_hidden_object'),
  other('other-protected-function', 'other_protected_function'),
  other('other-weak-function', 'other_weak_function'),
  other('other-common', 'other_common'),
  other('other-absolute', 'other_absolute'),
  other('other-hidden-reference', 'other_function', '.hidden other_function'),
  other('other-weak-reference', 'other_function', '.weak other_function'),
  other('other-script', 'script_symbol'),
  other('nowhere-weak', 'nowhere', '.weak nowhere'),
  other('nowhere-weak-hidden', 'nowhere', '.weak nowhere', '.hidden nowhere'),
];

/** What rows refer to in another file, and where execution would begin. */
export const DEFINITIONS = `
  .text
  .globl _start
_start: ret
  .globl other_function
  .type other_function,@function
other_function: ret
  .size other_function,1
  .globl other_label
other_label: ret
  .globl other_hidden_function
  .hidden other_hidden_function
  .type other_hidden_function,@function
other_hidden_function: ret
  .size other_hidden_function,1
  .globl other_protected_function
  .protected other_protected_function
  .type other_protected_function,@function
other_protected_function: ret
  .size other_protected_function,1
  .weak other_weak_function
  .type other_weak_function,@function
other_weak_function: ret
  .size other_weak_function,1
  .data
  .globl other_object
  .type other_object,@object
other_object: .quad 0
  .size other_object,8
  .globl other_hidden_object
  .hidden other_hidden_object
  .type other_hidden_object,@object
other_hidden_object: .quad 0
  .size other_hidden_object,8
  .comm other_common,8,8
  .globl other_absolute
  .set other_absolute, 0x5678
`;

interface FormRow {
  readonly form: string;
  readonly asm: (symbol: string) => string;
  readonly section?: string;
  /** Tried with --no-relax as well. */
  readonly got?: boolean;
  /** Kinds of symbols it is tried with; default all. */
  readonly symbols?: readonly string[];
}

/** Kinds that the assembler itself replaces, by a section and a number, unless it is forced to keep the symbol. */
const REPLACED = ['here-local-function', 'here-local-object', 'here-local-absolute'];
const FEW = ['other-function', 'here-hidden-function', 'here-absolute', 'nowhere-weak'];

const got = (form: string, asm: (symbol: string) => string, symbols?: readonly string[]): FormRow => ({
  form,
  asm,
  got: true,
  ...(symbols === undefined ? {} : { symbols }),
});
/** An instruction with a relocation the assembler would not choose, on its last four bytes. */
const forced = (text: string, type: string, addend: string) => (symbol: string) =>
  `${text}\n.reloc .-4, R_X86_64_${type}, ${symbol}${addend}`;

/** The same of type 64, on its last eight. */
const forced8 = (text: string) => (symbol: string) => `${text}\n.reloc .-8, R_X86_64_64, ${symbol}`;

const ALU = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor'];

const FORMS: readonly FormRow[] = [
  got('mov64', (s) => `mov ${s}@GOTPCREL(%rip),%rsi`),
  got('mov32', (s) => `mov ${s}@GOTPCREL(%rip),%esi`),
  got('cmp64', (s) => `cmp ${s}@GOTPCREL(%rip),%rsi`),
  got('cmp32', (s) => `cmp ${s}@GOTPCREL(%rip),%esi`),
  got('test64', (s) => `test %rsi,${s}@GOTPCREL(%rip)`),
  got('call', (s) => `call *${s}@GOTPCREL(%rip)`),
  got('jmp', (s) => `jmp *${s}@GOTPCREL(%rip)`),
  got('push', (s) => `push ${s}@GOTPCREL(%rip)`),
  got('mov64-type9', forced('mov 0(%rip),%rsi', 'GOTPCREL', '-4')),
  got('cmp64-type9', forced('cmp 0(%rip),%rsi', 'GOTPCREL', '-4')),
  got('call-type9', forced('call *0(%rip)', 'GOTPCREL', '-4')),
  got('jmp-type9', forced('jmp *0(%rip)', 'GOTPCREL', '-4')),
  got('mov64-r12', (s) => `mov ${s}@GOTPCREL(%rip),%r12`, FEW),
  got('mov32-r12d', (s) => `mov ${s}@GOTPCREL(%rip),%r12d`, FEW),
  got('mov16', (s) => `mov ${s}@GOTPCREL(%rip),%si`, FEW),
  got('mov32-type9', forced('mov 0(%rip),%esi', 'GOTPCREL', '-4'), FEW),
  got('mov64-type41', forced('mov 0(%rip),%rsi', 'GOTPCRELX', '-4'), FEW),
  got('mov64-addend0', forced('mov 0(%rip),%rsi', 'REX_GOTPCRELX', '+0'), FEW),
  got('mov64-type9-addend0', forced('mov 0(%rip),%rsi', 'GOTPCREL', '+0'), FEW),
  got('cmp64-addend0', forced('cmp 0(%rip),%rsi', 'REX_GOTPCRELX', '+0'), FEW),
  got('test32', (s) => `test %esi,${s}@GOTPCREL(%rip)`, FEW),
  got('lea', (s) => `lea ${s}@GOTPCREL(%rip),%rsi`, FEW),
  got('store', (s) => `mov %rsi,${s}@GOTPCREL(%rip)`, FEW),
  got('cmp-reversed', (s) => `cmp %rsi,${s}@GOTPCREL(%rip)`, FEW),
  got('cmp-immediate', (s) => `cmpq $1,${s}@GOTPCREL(%rip)`, FEW),
  got('data-gotpcrel', (s) => `.long ${s}@GOTPCREL`, FEW),
  got('mov-then-cmp', (s) => `mov ${s}@GOTPCREL(%rip),%rsi\ncmp ${s}@GOTPCREL(%rip),%rsi`),
  got('call-then-mov', (s) => `call *${s}@GOTPCREL(%rip)\nmov ${s}@GOTPCREL(%rip),%rsi`, FEW),
  got('call-then-push', (s) => `call *${s}@GOTPCREL(%rip)\npush ${s}@GOTPCREL(%rip)`, FEW),
  ...ALU.map((name) => got(`${name}64`, (s) => `${name} ${s}@GOTPCREL(%rip),%rsi`, FEW)),
  ...ALU.map((name) => got(`${name}32`, (s) => `${name} ${s}@GOTPCREL(%rip),%esi`, FEW)),
  { form: 'lea-pc32', asm: (s) => `lea ${s}(%rip),%rsi` },
  { form: 'load-pc32', asm: (s) => `mov ${s}(%rip),%rsi` },
  { form: 'cmp-immediate-pc32', asm: (s) => `cmpq $1,${s}(%rip)`, symbols: FEW },
  { form: 'call-pc32', asm: forced('call .+5', 'PC32', '-4') },
  { form: 'call-plt32', asm: (s) => `call ${s}@PLT` },
  { form: 'jmp-plt32', asm: (s) => `jmp ${s}@PLT`, symbols: FEW },
  { form: 'jne-plt32', asm: forced('.byte 0x0f,0x85,0,0,0,0', 'PLT32', '-4'), symbols: FEW },
  { form: 'data-pc32', asm: (s) => `.long ${s} - .`, section: '.data.site,"aw"' },
  { form: 'rodata-pc32', asm: (s) => `.long ${s} - .`, section: '.rodata.site,"a"' },
  { form: 'data-plt32', asm: forced('.long 0', 'PLT32', ''), section: '.data.site,"aw"', symbols: FEW },
  { form: 'mov-32', asm: (s) => `mov $${s},%esi` },
  { form: 'load-32', asm: (s) => `mov ${s}(,%eax,4),%esi`, symbols: FEW },
  { form: 'mov-32s', asm: (s) => `mov $${s},%rsi` },
  { form: 'cmp-32s', asm: (s) => `cmp $${s},%rsi`, symbols: FEW },
  { form: 'push-32s', asm: (s) => `push $${s}`, symbols: FEW },
  { form: 'load-32s', asm: (s) => `mov ${s}(,%rax,8),%rsi` },
  { form: 'movabs-64', asm: (s) => `movabs $${s},%rsi` },
  { form: 'data-32', asm: (s) => `.long ${s}`, section: '.data.site,"aw"' },
  { form: 'data-32s', asm: (s) => `.long 0\n.reloc .-4, R_X86_64_32S, ${s}`, section: '.data.site,"aw"' },
  { form: 'rodata-32', asm: (s) => `.long ${s}`, section: '.rodata.site,"a"' },
  { form: 'data-64', asm: (s) => `.quad ${s}`, section: '.data.site,"aw"' },
  { form: 'rodata-64', asm: (s) => `.quad ${s}`, section: '.rodata.site,"a"' },
  { form: 'lea-pc32-forced', asm: forced('lea 0(%rip),%rsi', 'PC32', '-4'), symbols: REPLACED },
  { form: 'data-pc32-forced', asm: forced('.long 0', 'PC32', ''), section: '.data.site,"aw"', symbols: REPLACED },
  { form: 'call-plt32-forced', asm: forced('call .+5', 'PLT32', '-4'), symbols: REPLACED },
  { form: 'mov-32-forced', asm: forced('mov $0,%esi', '32', ''), symbols: REPLACED },
  { form: 'mov-32s-forced', asm: forced('mov $0,%rsi', '32S', ''), symbols: REPLACED },
  { form: 'data-32-forced', asm: forced('.long 0', '32', ''), section: '.data.site,"aw"', symbols: REPLACED },
  { form: 'movabs-64-forced', asm: forced8('movabs $0x1122334455667788,%rsi'), symbols: REPLACED },
  { form: 'rodata-64-forced', asm: forced8('.quad 0'), section: '.rodata.site,"a"', symbols: REPLACED },
  { form: 'data-64-forced', asm: forced8('.quad 0'), section: '.data.site,"aw"', symbols: REPLACED },
  { form: 'text-64', asm: (s) => `.quad ${s}`, symbols: FEW },
];

export interface Row {
  /** "mov64.other-function" */
  readonly name: string;
  readonly asm: string;
  readonly got: boolean;
  /** Needs a linker script. */
  readonly script: boolean;
}

/** Every form with every kind of symbol it is tried with. */
export const ROWS: readonly Row[] = FORMS.flatMap(({ form, asm, section, got, symbols }) =>
  SYMBOLS.filter(({ kind }) => symbols === undefined || symbols.includes(kind)).map((symbol) => ({
    name: `${form}.${symbol.kind}`,
    asm: `.section ${section ?? '.text.site,"ax"'}\n${asm(symbol.symbol)}\n${symbol.asm}\n`,
    got: got === true,
    script: symbol.symbol === 'script_symbol',
  })),
);
