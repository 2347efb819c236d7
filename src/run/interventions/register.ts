// A register set to a value, by the rules by which the processor itself would take it.

import { InputError } from '../../bits/errors.ts';
import { hex } from '../../bits/hex.ts';
import type { Engine } from '../../cpu/interpret/engine.ts';
import { writeCr0, writeCr3, writeCr4 } from '../../cpu/microcode/control.ts';
import { writeMsr } from '../../cpu/microcode/msr.ts';
import { prepareSegment } from '../../cpu/microcode/selectors.ts';
import { type Fault, isFault } from '../../cpu/state/cpu.ts';
import * as at from '../../cpu/state/layout.ts';
import { SEG, type SegmentIndex } from '../../cpu/state/state.ts';
import { DEFINED_FLAGS, FLAGS } from '../../x86/flags.ts';
import { findMsr, isApicMsr } from '../../x86/msr.ts';
import { GPR_NAMES, SEGMENT_NAMES } from '../../x86/registers.ts';
import type { Kind } from './kind.ts';
import { numberOf, shown, split } from './text.ts';

export type RegisterValue = { readonly kind: 'set'; readonly register: string; readonly value: bigint };

/** @property most the largest value  @property put undefined where the processor takes it */
type Row = { readonly most: bigint; readonly put: (engine: Engine, value: bigint) => Fault | undefined };

const bits = (count: bigint): bigint => (1n << count) - 1n;
const ALL = bits(64n);

/** A register whose value nothing else hangs on, or that says itself what does. */
const plain = (put: (engine: Engine, value: bigint) => void, most = ALL): Row => ({
  most,
  put: (engine, value) => {
    put(engine, value);
    return undefined;
  },
});

/** Modes of their own, which more than a flag belongs to. */
const SETTABLE_FLAGS = BigInt(DEFINED_FLAGS & ~(FLAGS.VM | FLAGS.VIF | FLAGS.VIP)) | 2n;

const rflags: Row = {
  most: bits(32n),
  put(engine, value) {
    if (value & ~SETTABLE_FLAGS) throw new InputError(`rflags takes no more than the bits ${hex(SETTABLE_FLAGS)}`);
    engine.state.rflags = Number(value);
    engine.modeChanged();
    return undefined;
  },
};

const TOP_PRIORITY = 15n;

const cr8 = plain((engine, value) => {
  if (engine.apic) engine.apic.taskPriority = Number(value) << 4;
  engine.state.setU64(at.CR8, value);
}, TOP_PRIORITY);

/** A hidden part, as it stands in the processor. What hangs on it follows; nothing is looked up. */
function hiddenParts(name: string, index: SegmentIndex): [string, Row][] {
  const part = (key: 'selector' | 'attributes' | 'limit' | 'base', most: bigint): [string, Row] => [
    `${name}.${key}`,
    plain((engine, value) => {
      const before = engine.state.segment(index);
      engine.state.setSegment(index, { ...before, [key]: key === 'base' ? value : Number(value) });
      engine.modeChanged();
    }, most),
  ];
  return [part('selector', 0xffffn), part('attributes', 0xf0ffn), part('limit', bits(32n)), part('base', ALL)];
}

/** Loaded by its selector, as MOV to a segment register does it. */
const bySelector = (index: SegmentIndex): Row => ({
  most: 0xffffn,
  put(engine, value) {
    const segment = prepareSegment(engine, index, Number(value));
    if (isFault(segment)) return segment;
    engine.state.setSegment(index, segment);
    engine.modeChanged();
    return undefined;
  },
});

const tableRows = (name: string, which: typeof at.GDTR | typeof at.IDTR): [string, Row][] => [
  [`${name}.base`, plain(({ state }, base) => state.setTable(which, { ...state.table(which), base }))],
  [
    `${name}.limit`,
    plain(({ state }, limit) => state.setTable(which, { ...state.table(which), limit: Number(limit) }), 0xffffn),
  ],
];

const ROWS = new Map<string, Row>([
  ...GPR_NAMES.map((name, index): [string, Row] => [
    name.toLowerCase(),
    plain(({ state }, value) => state.setReg(index, value)),
  ]),
  [
    'rip',
    plain(({ state }, value) => {
      state.rip = value;
    }),
  ],
  ['rflags', rflags],
  ['cr0', { most: ALL, put: writeCr0 }],
  ['cr2', plain(({ state }, value) => state.setU64(at.CR2, value))],
  ['cr3', { most: ALL, put: writeCr3 }],
  ['cr4', { most: ALL, put: writeCr4 }],
  ['cr8', cr8],
  ...(['ES', 'SS', 'DS', 'FS', 'GS'] as const).map((name): [string, Row] => [
    name.toLowerCase(),
    bySelector(SEG[name]),
  ]),
  ...SEGMENT_NAMES.flatMap((name) => hiddenParts(name.toLowerCase(), SEG[name])),
  ...tableRows('gdtr', at.GDTR),
  ...tableRows('idtr', at.IDTR),
]);

const MSR = 'msr:';

/** Throws InputError for a name that is no register. */
function rowOf(name: string): Row {
  if (!name.startsWith(MSR)) {
    const row = ROWS.get(name);
    if (row) return row;
    throw new InputError(`'${shown(name)}' is no register; known are ${[...ROWS.keys()].join(', ')} and msr:NUMBER`);
  }
  const number = Number(numberOf(name.slice(MSR.length), bits(32n)));
  const isKnown = findMsr(number) !== undefined || isApicMsr(number);
  if (!isKnown) throw new InputError(`there is no model-specific register ${hex(number)}`);
  return { most: ALL, put: (engine, value) => writeMsr(engine, number, value) };
}

export const register: Kind<RegisterValue> = {
  form: 'REGISTER=VALUE',
  help: 'sets a register: rax to r15, rip, rflags, cr0 to cr8, msr:NUMBER, es to gs by selector, ds.base, ds.limit and the like',
  parse(text) {
    const [name, value] = split(text, '=', this.form);
    const known = name.toLowerCase();
    return { kind: 'set', register: known, value: numberOf(value, rowOf(known).most) };
  },
  text: ({ register: name, value }) => `${name}=${hex(value)}`,
  make({ register: name, value }, { machine: { engine } }) {
    if (isFault(rowOf(name).put(engine, value))) {
      throw new InputError(`the processor does not take ${hex(value)} for ${name} as it stands`);
    }
  },
};
