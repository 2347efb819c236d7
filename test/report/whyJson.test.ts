import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bootJson } from '../../src/report/json.ts';
import { whyJson } from '../../src/report/whyJson.ts';
import { CAUSE, CULPRIT, DIAGNOSIS, EVIDENCE, IMAGE, PROOF } from './diagnosis.ts';
import { CONFIG, resultOf } from './result.ts';

const FULL = {
  ...DIAGNOSIS,
  suspicions: [
    {
      class: CAUSE.class,
      instruction: CULPRIT,
      others: [{ instruction: CULPRIT, repair: CAUSE.repair }],
      proof: { ...PROOF, held: false, boots: [] },
    },
  ],
  unexplained: EVIDENCE,
};

describe('the object of a diagnosis', () => {
  it('is that of the first boot, and the findings', () => {
    const object = whyJson(DIAGNOSIS, IMAGE);
    expect(object).toMatchObject(bootJson(CONFIG, IMAGE, DIAGNOSIS.first));
    expect(Object.keys(object).slice(-8)).toEqual([
      ...['wellEnded', 'spoken', 'causes', 'suspicions', 'untried', 'unexplained', 'repaired', 'entries'],
    ]);
  });

  it('has a cause with all that proves it', () => {
    expect(whyJson(DIAGNOSIS, IMAGE).causes[0]).toMatchObject({
      class: 'position-dependent-reference',
      instruction: {
        fileOffset: 0x1a280,
        runtimeAddress: '0x1018280',
        linkAddress: '0x18280',
        bytes: '48 c7 c6 40 80 01 00',
        text: 'mov    $0x18040,%rsi',
        symbol: 'paging_prepare+0x140',
        target: 'trampoline_32bit_src',
        constant: '0x18040',
        bias: '0x1000000',
      },
      steps: [{}, { what: 'copies 0x100 bytes', instruction: { symbol: null } }, { instruction: { fileOffset: null } }],
      explanation: CAUSE.explanation,
      advice: CAUSE.advice,
      repair: { bytes: '48 8d 35 b9 fd ff ff' },
      evidence: { silent: true, at: { bytes: '00 00' }, writer: { instructions: 151, source: '0x18040' } },
      proof: {
        held: true,
        boots: [
          { loadAddress: '0x1000000', paging: 4, outcome: 'alive', instructions: 5_000_000 },
          { paging: 5 },
          { entry: 32, paging: null },
        ],
        controls: [{ kind: 'same-kind', boot: { variant: 'wrong-value', passed: false } }],
        counterCheck: {
          verdict: 'held',
          by: 'bias-zero',
          without: { loadAddress: '0x0', plainRam: true, passed: true },
        },
      },
    });
  });

  it('has what became of the repaired image', () => {
    expect(whyJson(DIAGNOSIS, IMAGE).repaired).toMatchObject({
      outcome: { kind: 'stage-reached' },
      stages: [{ name: 'entry', instructions: 0 }],
    });
  });

  it('has nothing found where nothing was', () => {
    const healthy = { ...DIAGNOSIS, first: resultOf({ kind: 'stage-reached' }), causes: [] };
    expect(whyJson(healthy, IMAGE)).toMatchObject({ causes: [], suspicions: [], unexplained: null, repaired: null });
  });

  it('has suspicions and what is not explained apart from the causes', () => {
    expect(whyJson({ ...FULL, causes: [] }, IMAGE)).toMatchObject({
      causes: [],
      suspicions: [
        {
          instruction: { fileOffset: 0x1a280 },
          others: [{ instruction: { fileOffset: 0x1a280 } }],
          proof: { held: false },
        },
      ],
      unexplained: { outcome: { kind: 'triple-fault' } },
    });
  });

  it('can be written as JSON', () => {
    const object = whyJson(FULL, IMAGE);
    expect(JSON.parse(JSON.stringify(object))).toEqual(object);
  });
});

describe('docs/json.md', () => {
  const text = readFileSync(new URL('../../docs/json.md', import.meta.url), 'utf8');

  const fieldsOf = (value: unknown): string[] => {
    if (Array.isArray(value)) return value.flatMap(fieldsOf);
    if (typeof value !== 'object' || value === null) return [];
    return Object.entries(value).flatMap(([key, item]) => [key, ...fieldsOf(item)]);
  };

  it('describes every field of a diagnosis', () => {
    const names = new Set(fieldsOf(whyJson(FULL, IMAGE)));
    expect([...names].filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });
});
