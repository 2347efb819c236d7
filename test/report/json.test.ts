import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { KernelImage } from '../../src/image/image.ts';
import { bootJson } from '../../src/report/json.ts';
import { CONFIG, resultOf } from './result.ts';

const IMAGE = {
  kind: 'bzImage',
  origin: null,
  bytes: new Uint8Array(3),
  protocol: 0x20f,
  version: '6.1',
} as unknown as KernelImage;
const ELF = { kind: 'elf', bytes: new Uint8Array(3) } as unknown as KernelImage;

const CHAIN = [
  {
    vector: 14,
    error: 2,
    cr2: 0xffffffff80000000n,
    rip: 0x9e000n,
    reason: 'no gate',
    met: { vector: 13, error: 0x73 },
  },
  { vector: 6, rip: 0x9e000n },
];
const ENDINGS = [
  { kind: 'stage-reached' },
  { kind: 'triple-fault', chain: CHAIN },
  { kind: 'reset', source: 'cf9' },
  { kind: 'halt', rip: 0x9e043n, interruptsEnabled: false },
  { kind: 'hang', rip: 0x9e000n, rule: 'nothing moved' },
  { kind: 'panic', message: 'Kernel panic - not syncing: VFS', callTrace: ['panic+0x1/0x2'] },
  { kind: 'instruction-limit', rip: 0xffffffff81000000n },
] as const;

const outcomeJson = (ending: (typeof ENDINGS)[number]) => bootJson(CONFIG, IMAGE, resultOf(ending)).outcome;

describe('the object of a boot', () => {
  it('has the machine, the stages and the outcome', () => {
    const result = resultOf(
      { kind: 'halt', rip: 0x9e043n, interruptsEnabled: false },
      {
        unimplemented: [
          { what: 'port 0x1', count: 2 },
          { what: 'port 0x2f9', device: 'COM2', count: 1 },
        ],
        console: 'é',
        screen: ['on screen'],
      },
    );
    expect(bootJson({ ...CONFIG, initrd: new Uint8Array(9) }, IMAGE, result)).toEqual({
      outcome: {
        kind: 'halt',
        interruptsEnabled: false,
        stage: 'decompress',
        instructions: 1_234_567,
        guestTimeNs: 1_234_569,
        text: expect.stringMatching(/^halted for ever: /),
        rip: '0x9e043',
      },
      stages: [{ name: 'entry', instructions: 0, guestTimeNs: 0 }],
      stateHash: '0123456789abcdef',
      machine: {
        image: { kind: 'bzImage', origin: null, bytes: 3, protocol: '2.15', version: '6.1' },
        cpu: 'max',
        memoryBytes: 0x20000000,
        bootProtocol: 'linux',
        entry: 64,
        paging: 4,
        loadAddress: '0x1000000',
        cmdline: 'console=ttyS0',
        commandLine: { given: 'console=ttyS0', added: '', whole: 'console=ttyS0' },
        modules: [],
        initrdBytes: 9,
        disks: [],
        devices: [],
        seed: 5,
        until: 'banner',
        maxInstructions: 20_000_000_000,
        e820: [
          { start: '0x0', size: 0x9fc00, type: 'ram' },
          { start: '0x9fc00', size: 0x400, type: 'reserved' },
        ],
        placement: [{ name: 'image', start: '0x1000000', size: 3 }],
      },
      unimplemented: [
        { what: 'port 0x1', device: null, count: 2 },
        { what: 'port 0x2f9', device: 'COM2', count: 1 },
      ],
      console: 'é',
      run: null,
      screen: ['on screen'],
    });
  });

  it('has nulls for what an ELF image and the 32-bit entry do not have', () => {
    const result = resultOf({ kind: 'stage-reached' });
    const { machine } = bootJson(CONFIG, ELF, { ...result, boot: { ...result.boot, entry: 32 } });
    expect(machine).toMatchObject({ paging: null, initrdBytes: null, image: { protocol: null, version: null } });
  });

  it('has what each outcome has of its own', () => {
    const own = ENDINGS.map((ending) => {
      const { stage: _s, instructions: _i, guestTimeNs: _g, text: _t, ...rest } = outcomeJson(ending);
      return rest;
    });
    expect(own).toEqual([
      { kind: 'stage-reached' },
      {
        kind: 'triple-fault',
        chain: [
          {
            vector: 14,
            name: '#PF',
            error: '0x2',
            cr2: '0xffffffff80000000',
            rip: '0x9e000',
            reason: 'no gate',
            met: { vector: 13, name: '#GP', error: '0x73', cr2: null },
          },
          { vector: 6, name: '#UD', error: null, cr2: null, rip: '0x9e000', reason: null, met: null },
        ],
      },
      { kind: 'reset', source: 'cf9', port: '0xcf9' },
      { kind: 'halt', rip: '0x9e043', interruptsEnabled: false },
      { kind: 'hang', rip: '0x9e000', rule: 'nothing moved' },
      { kind: 'panic', message: 'Kernel panic - not syncing: VFS', callTrace: ['panic+0x1/0x2'] },
      { kind: 'instruction-limit', rip: '0xffffffff81000000' },
    ]);
  });

  it('never rounds a count of instructions', () => {
    const config = { ...CONFIG, maxInstructions: 2n ** 53n };
    expect(() => bootJson(config, IMAGE, resultOf({ kind: 'stage-reached' }))).toThrow(RangeError);
  });
});

describe('docs/json.md', () => {
  const text = readFileSync(new URL('../../docs/json.md', import.meta.url), 'utf8');

  /** Names of all fields, however deep. */
  const fieldsOf = (value: unknown): string[] => {
    if (Array.isArray(value)) return value.flatMap(fieldsOf);
    if (typeof value !== 'object' || value === null) return [];
    return Object.entries(value).flatMap(([key, item]) => [key, ...fieldsOf(item)]);
  };

  it('describes every field and every kind of outcome', () => {
    const objects = ENDINGS.map((ending) =>
      bootJson(CONFIG, IMAGE, resultOf(ending, { unimplemented: [{ what: '', count: 1 }] })),
    );
    const names = new Set([...objects.flatMap(fieldsOf), ...ENDINGS.map(({ kind }) => kind)]);
    expect([...names].filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });
});
