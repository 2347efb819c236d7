import { readFileSync } from 'node:fs';
import draft04 from 'ajv-draft-04';
import formats from 'ajv-formats';
import { describe, expect, it } from 'vitest';
import type { Finding } from '../../src/audit/types.ts';
import { RULE_IDS } from '../../src/words/rules.ts';
import { type SarifRun, sarifLog } from '../../src/report/sarif.ts';
import { CLEAN, FIELD, FINDING, NOTE, OBJECT, REPORT } from './auditReports.ts';

const RUN: SarifRun = { version: '1.2.3', exitCode: 1, failures: [] };

// A pattern of the schema is no regular expression in Unicode mode.
const ajv = new draft04.default({ strict: false, unicodeRegExp: false });
formats.default(ajv);
const schema = new URL('../data/sarif-schema-2.1.0-rtm.5.json', import.meta.url);
const isValid = ajv.compile(JSON.parse(readFileSync(schema, 'utf8')) as object);

/** As it is printed. */
function logOf(findings: readonly Finding[], run: Partial<SarifRun> = {}, name = 'out/bzImage') {
  const log = sarifLog([{ name, report: { ...REPORT, findings, notes: [] } }], { ...RUN, ...run });
  return JSON.parse(JSON.stringify(log)) as typeof log;
}

const firstRun = (...args: Parameters<typeof logOf>) => logOf(...args).runs[0];
const firstResult = (finding: Finding) => firstRun([finding])?.results[0];
const fingerprints = (...args: Parameters<typeof logOf>) =>
  firstRun(...args)?.results.map((result) => result.partialFingerprints.primaryLocationLineHash);

describe('the SARIF log', () => {
  const everyRule = RULE_IDS.flatMap((rule) =>
    (['error', 'warning', 'note'] as const).map((severity): Finding => ({ ...FINDING, rule, severity })),
  );
  const bare: Finding = { ...NOTE, rule: 'link-flag-lost', severity: 'error' };
  const kernel: Finding = {
    ...FINDING,
    linkAddress: 0xffffffff81000000n,
    target: { linkAddress: 0xffffffff81000000n },
  };

  it.each([
    ['nothing found', [], {}],
    ['every rule and level', everyRule, {}],
    ['findings that have little', [bare, FIELD, { ...FIELD, bytes: new Uint8Array(0) }], {}],
    ['addresses above 2^53', [kernel], {}],
    ['files that could not be audited', [], { failures: ["cannot read 'x'"], exitCode: 2 }],
    ['names that are no URI', [FINDING], {}, 'a b:c/%[]{}"<>^`|.o'],
  ])('is valid against the schema: %s', (_name, findings, run, name = 'x') => {
    isValid(logOf(findings, run, name));
    expect(isValid.errors).toBeNull();
  });

  it('would not be valid with a misspelled property', () => {
    const log = logOf([FINDING]);
    expect(isValid({ ...log, runs: [{ ...log.runs[0], artefacts: [] }] })).toBe(false);
  });

  it('names the tool, and every rule with words of its own', () => {
    const driver = firstRun([])?.tool.driver;
    expect(driver).toMatchObject({ name: 'Firstlight', version: '1.2.3', semanticVersion: '1.2.3' });
    expect(driver?.rules.map(({ id }) => id)).toEqual(RULE_IDS);
    expect(new Set(driver?.rules.map(({ fullDescription }) => fullDescription.text)).size).toBe(RULE_IDS.length);
    expect(driver?.rules[0]).toMatchObject({
      name: 'PositionDependentReference',
      defaultConfiguration: { level: 'error' },
      properties: { precision: 'high', 'problem.severity': 'error' },
    });
  });

  // GitHub, "SARIF support for code scanning": up to 1024 characters each, and 20 tags.
  it('keeps to the lengths that code scanning takes', () => {
    for (const { shortDescription, fullDescription, properties } of firstRun([])?.tool.driver.rules ?? []) {
      expect(shortDescription.text.length).toBeLessThanOrEqual(120);
      expect(fullDescription.text.length).toBeLessThanOrEqual(1024);
      expect(properties.tags.length).toBeLessThanOrEqual(20);
    }
  });

  it('has the files', () => {
    const files = [
      { name: 'a b', report: CLEAN },
      { name: '/x.o', report: OBJECT },
    ];
    expect(sarifLog(files, RUN).runs[0]?.artifacts).toMatchObject([
      { location: { uri: 'a%20b' }, length: 110_592, roles: ['analysisTarget'] },
      { location: { uri: 'file:///x.o' }, length: 6024, description: { text: OBJECT.what } },
    ]);
  });

  it('says which files could not be audited', () => {
    expect(firstRun([], { failures: ["cannot read 'x'"], exitCode: 2 })?.invocations).toEqual([
      {
        executionSuccessful: false,
        exitCode: 2,
        toolExecutionNotifications: [{ level: 'error', message: { text: "cannot read 'x'" } }],
      },
    ]);
    expect(firstRun([])?.invocations[0]).toMatchObject({ executionSuccessful: true, exitCode: 1 });
  });

  it('has notes behind the findings of their file', () => {
    const log = sarifLog([{ name: 'x', report: REPORT }], RUN);
    expect(log.runs[0]?.results.map(({ ruleId, level }) => `${ruleId} ${level}`)).toEqual([
      'position-dependent-reference error',
      'configuration note',
    ]);
  });
});

describe('a result', () => {
  it('points to its rule by name and index', () => {
    const run = firstRun([FIELD]);
    const result = run?.results[0];
    expect(result?.ruleId).toBe('boot-protocol-field');
    expect(run?.tool.driver.rules[result?.ruleIndex ?? -1]?.id).toBe('boot-protocol-field');
  });

  it('says in its message where it is, because viewers show little else', () => {
    expect(firstResult(FINDING)?.message.text).toBe(
      `${FINDING.message} At file offset 0x1a280, link address 0x18280, paging_prepare+0x140: mov $0x18040,%rsi; bytes 48 c7 c6 40 80 01 00. Confidence: high.`,
    );
    expect(firstResult(NOTE)?.message.text).toBe(NOTE.message);
  });

  it('has its bytes as a region, its address and its function', () => {
    expect(firstResult(FINDING)?.locations).toEqual([
      {
        physicalLocation: {
          artifactLocation: { uri: 'out/bzImage', index: 0 },
          address: {
            absoluteAddress: 0x18280,
            length: 7,
            kind: 'instruction',
            fullyQualifiedName: 'paging_prepare+0x140',
          },
          region: {
            startLine: 1,
            byteOffset: 0x1a280,
            byteLength: 7,
            snippet: { binary: 'SMfGQIABAA==', rendered: { text: 'mov $0x18040,%rsi' } },
          },
        },
        logicalLocations: [{ name: 'paging_prepare', fullyQualifiedName: 'paging_prepare+0x140', kind: 'function' }],
      },
    ]);
  });

  it('has a place in an object as it is', () => {
    const place = 'paging.o, .text+0x143';
    expect(firstResult({ ...FINDING, place })?.locations[0]?.logicalLocations).toEqual([
      { name: place, fullyQualifiedName: place },
    ]);
  });

  it('has an address above 2^53 as text only', () => {
    const result = firstResult({ ...FINDING, linkAddress: 0xffffffff81000000n });
    expect(result?.locations[0]?.physicalLocation.address).toBeUndefined();
    expect(result?.properties.linkAddress).toBe('0xffffffff81000000');
  });

  it('stands in the first line where it has no bytes', () => {
    expect(firstResult(NOTE)?.locations[0]?.physicalLocation.region).toEqual({ startLine: 1 });
  });

  it('has the repair as a fix of as many bytes', () => {
    expect(firstResult(FINDING)?.fixes?.[0]?.artifactChanges).toEqual([
      {
        artifactLocation: { uri: 'out/bzImage', index: 0 },
        replacements: [
          {
            deletedRegion: { byteOffset: 0x1a280, byteLength: 7 },
            insertedContent: { binary: 'SI01uf3//w==', rendered: { text: 'lea -0x247(%rip),%rsi' } },
          },
        ],
      },
    ]);
    expect(firstResult(FIELD)).not.toHaveProperty('fixes');
  });

  it('ranks by confidence', () => {
    const ranks = (['high', 'medium', 'low'] as const).map(
      (confidence) => firstResult({ ...FINDING, confidence })?.rank,
    );
    expect(ranks).toEqual([...ranks].sort((a = 0, b = 0) => b - a));
    expect(new Set(ranks).size).toBe(3);
  });

  it('keeps its fingerprint when the code moves, and shares it with no other', () => {
    const moved = { ...FINDING, fileOffset: 1, place: 'paging_prepare+0x1' };
    expect(fingerprints([moved])).toEqual(fingerprints([FINDING]));
    expect(fingerprints([FINDING])?.[0]).toMatch(/^[0-9a-f]{16}:1$/);
    const [first, second] = fingerprints([FINDING, moved]) ?? [];
    expect(second).toBe(first?.replace(/1$/, '2'));
    expect(fingerprints([FINDING], {}, 'other')).not.toEqual(fingerprints([FINDING]));
  });
});
