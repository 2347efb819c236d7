// The answer of `firstlight audit` as a SARIF 2.1.0 log (OASIS, "Static Analysis Results Interchange Format"), for
// code-scanning tools. Section numbers are those of the standard.
// One departure: 3.30.1 wants no text region in a binary file, and a region here has `startLine: 1` beside its bytes,
// because GitHub shows no result without a line. Viewers that know bytes take the bytes.

import type { Confidence, Finding, Severity } from '../audit/types.ts';
import { hex, hexBytes } from '../bits/hex.ts';
import type { AuditedFile } from './audit.ts';
import { isOfCode, RULE_IDS, RULES } from '../words/rules.ts';
import { base64, fingerprintText, fnv1a64, uriOf } from './auditText.ts';
import { instructionText } from '../diagnose/instructionText.ts';

/** What a log tells besides the reports. */
export type SarifRun = {
  /** Of this program. */
  readonly version: string;
  readonly exitCode: number;
  /** Messages about files that could not be audited. */
  readonly failures: readonly string[];
};

const SCHEMA = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';

/** 3.14, ready for JSON.stringify: one run. Names of files should be relative to the root of the sources. */
export function sarifLog(files: readonly AuditedFile[], { version, exitCode, failures }: SarifRun) {
  return {
    $schema: SCHEMA,
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'Firstlight', version, semanticVersion: version, rules: RULE_IDS.map(ruleOf) } },
        invocations: [
          {
            executionSuccessful: failures.length === 0,
            exitCode,
            toolExecutionNotifications: failures.map((text) => ({ level: 'error', message: { text } })),
          },
        ],
        artifacts: files.map(artifactOf),
        results: resultsOf(files),
        columnKind: 'utf16CodeUnits',
      },
    ],
  };
}

/** 3.49; `precision` and `problem.severity` are what GitHub reads. */
function ruleOf(id: (typeof RULE_IDS)[number]) {
  const { name, short, full, help, severity, precision, tags } = RULES[id];
  return {
    id,
    name,
    shortDescription: { text: short },
    fullDescription: { text: full },
    help: {
      text: `${full}\n\n${help.replaceAll('\n', '\n\n')}`,
      markdown: `${full}\n\n${help.replaceAll('\n', '\n\n')}`,
    },
    defaultConfiguration: { level: severity },
    properties: { tags, precision, 'problem.severity': severity === 'note' ? 'recommendation' : severity },
  };
}

/** 3.24 */
const artifactOf = ({ name, report }: AuditedFile) => ({
  location: { uri: uriOf(name) },
  description: { text: report.what },
  length: report.size,
  roles: ['analysisTarget'],
  mimeType: 'application/octet-stream',
});

function resultsOf(files: readonly AuditedFile[]) {
  const occurrences = new Map<string, number>();
  return files.flatMap((file, index) => {
    const { findings, notes } = file.report;
    return [...findings, ...notes].map((finding) => resultOf(finding, file, index, occurrences));
  });
}

/** 3.27 */
function resultOf(finding: Finding, file: AuditedFile, index: number, occurrences: Map<string, number>) {
  const artifactLocation = { uri: uriOf(file.name), index };
  return {
    ruleId: finding.rule,
    ruleIndex: RULE_IDS.indexOf(finding.rule),
    level: finding.severity satisfies Severity,
    message: { text: messageText(finding) },
    locations: [locationOf(finding, artifactLocation)],
    partialFingerprints: { primaryLocationLineHash: fingerprintOf(finding, file.name, occurrences) },
    ...(finding.severity === 'note' ? {} : { rank: RANKS[finding.confidence] }),
    ...fixesOf(finding, artifactLocation),
    properties: propertiesOf(finding),
  };
}

/** 3.27.25: 0 to 100. */
const RANKS: Readonly<Record<Confidence, number>> = { high: 90, medium: 60, low: 30 };

/** Viewers show little but this: where it is has to stand here too. */
function messageText(finding: Finding): string {
  const { message, fileOffset, linkAddress, place, text, bytes, confidence, severity } = finding;
  const where = [
    fileOffset === undefined ? undefined : `file offset ${hex(fileOffset)}`,
    linkAddress === undefined ? undefined : `link address ${hex(linkAddress)}`,
    place,
  ].filter((part) => part !== undefined);
  const what = [
    text === undefined ? undefined : instructionText({ text }),
    bytes === undefined || bytes.length === 0 ? undefined : `bytes ${hexBytes(bytes)}`,
  ].filter((part) => part !== undefined);
  const at = where.length === 0 ? '' : ` At ${where.join(', ')}${what.length === 0 ? '' : `: ${what.join('; ')}`}.`;
  return `${message}${at}${severity === 'note' ? '' : ` Confidence: ${confidence}.`}`;
}

type ArtifactLocation = { readonly uri: string; readonly index: number };

/** 3.28 */
function locationOf(finding: Finding, artifactLocation: ArtifactLocation) {
  return {
    physicalLocation: { artifactLocation, ...addressOf(finding), region: regionOf(finding) },
    ...logicalLocationsOf(finding),
  };
}

/** 3.30 */
function regionOf({ fileOffset, bytes, text }: Finding) {
  if (fileOffset === undefined) return { startLine: 1 };
  if (bytes === undefined || bytes.length === 0) return { startLine: 1, byteOffset: fileOffset, byteLength: 0 };
  const rendered = text === undefined ? {} : { rendered: { text: instructionText({ text }) } };
  return {
    startLine: 1,
    byteOffset: fileOffset,
    byteLength: bytes.length,
    snippet: { binary: base64(bytes), ...rendered },
  };
}

/** 3.32. JSON numbers end at 2^53, so that an address of the kernel's own mapping is only in the properties. */
function addressOf({ rule, linkAddress, bytes, place }: Finding) {
  if (linkAddress === undefined || linkAddress > BigInt(Number.MAX_SAFE_INTEGER)) return {};
  return {
    address: {
      absoluteAddress: Number(linkAddress),
      ...(bytes === undefined ? {} : { length: bytes.length }),
      kind: isOfCode(rule) ? 'instruction' : 'data',
      ...(place === undefined ? {} : { fullyQualifiedName: place }),
    },
  };
}

/** `name` or `name+0x1c`. */
const PLACE_IN_FUNCTION = /^(?<name>[\w.$@]+)(?:\+0x[0-9a-f]+)?$/;

/** 3.33 */
function logicalLocationsOf({ rule, place }: Finding) {
  if (place === undefined) return {};
  const name = PLACE_IN_FUNCTION.exec(place)?.groups?.['name'];
  const kind = name !== undefined && isOfCode(rule) ? { kind: 'function' } : {};
  return { logicalLocations: [{ name: name ?? place, fullyQualifiedName: place, ...kind }] };
}

/**
 * 3.27.17, in the form and under the name that GitHub uses: 16 hexadecimal digits, a colon, and how often the same was met
 * before. Of what stays the same when the image is built anew, so that an alert is the same alert: no offsets, no numbers.
 */
function fingerprintOf(finding: Finding, name: string, occurrences: Map<string, number>): string {
  const hash = fnv1a64(`${name}\0${fingerprintText(finding)}`);
  const occurrence = (occurrences.get(hash) ?? 0) + 1;
  occurrences.set(hash, occurrence);
  return `${hash}:${occurrence}`;
}

/** 3.55 to 3.57 */
function fixesOf({ repair, fileOffset, bytes }: Finding, artifactLocation: ArtifactLocation) {
  if (repair === undefined || fileOffset === undefined || bytes === undefined) return {};
  const replacement = {
    deletedRegion: { byteOffset: fileOffset, byteLength: bytes.length },
    insertedContent: { binary: base64(repair.bytes), rendered: { text: instructionText(repair) } },
  };
  return {
    fixes: [
      {
        description: { text: `Put ${instructionText(repair)} in its place (${hexBytes(repair.bytes)}).` },
        artifactChanges: [{ artifactLocation, replacements: [replacement] }],
      },
    ],
  };
}

/** 3.8: what has no place of its own in SARIF. */
function propertiesOf({ confidence, reason, linkAddress, target, relocation, decision, advice }: Finding) {
  return {
    confidence,
    reason,
    ...(linkAddress === undefined ? {} : { linkAddress: hex(linkAddress) }),
    ...(target === undefined ? {} : { target: { ...target, linkAddress: hex(target.linkAddress) } }),
    ...(relocation === undefined ? {} : { relocation }),
    ...(decision === undefined ? {} : { decision }),
    ...(advice === undefined ? {} : { advice }),
  };
}
