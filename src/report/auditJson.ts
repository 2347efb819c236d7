// The answer of `firstlight audit` as the one object that `--json` prints. docs/json.md describes every field.

import type { AuditReport, Finding, LinkPrediction, Target } from '../audit/types.ts';
import { hex, hexBytes } from '../bits/hex.ts';
import type { AuditedFile } from './audit.ts';

/** The object for these files, ready for JSON.stringify. */
export function auditJson(files: readonly AuditedFile[]) {
  return {
    files: files.map(fileJson),
    findings: files.flatMap(({ name, report }) => report.findings.map((finding) => findingJson(name, finding))),
    notes: files.flatMap(({ name, report }) => report.notes.map((note) => findingJson(name, note))),
  };
}

const fileJson = ({ name, report }: AuditedFile) => ({
  name,
  kind: report.kind,
  size: report.size,
  what: report.what,
  coverage: coverageJson(report),
  predictions: report.predictions === undefined ? null : report.predictions.map(predictionJson),
});

function coverageJson({ coverage }: AuditReport) {
  if (coverage === undefined) return null;
  const { followed, swept, constants, dataWords } = coverage;
  return {
    followed: { '16': followed[16], '32': followed[32], '64': followed[64] },
    swept,
    constants,
    dataWords,
  };
}

const findingJson = (file: string, finding: Finding) => ({
  file,
  rule: finding.rule,
  severity: finding.severity,
  confidence: finding.confidence,
  fileOffset: finding.fileOffset ?? null,
  linkAddress: finding.linkAddress === undefined ? null : hex(finding.linkAddress),
  bytes: finding.bytes === undefined ? null : hexBytes(finding.bytes),
  text: finding.text ?? null,
  place: finding.place ?? null,
  target: finding.target === undefined ? null : targetJson(finding.target),
  message: finding.message,
  reason: finding.reason,
  relocation: finding.relocation ?? null,
  decision: finding.decision ?? null,
  repair: finding.repair === undefined ? null : { bytes: hexBytes(finding.repair.bytes), text: finding.repair.text },
  advice: finding.advice ?? null,
});

const targetJson = ({ linkAddress, symbol, what }: Target) => ({
  linkAddress: hex(linkAddress),
  symbol: symbol ?? null,
  what: what ?? null,
});

const predictionJson = (prediction: LinkPrediction) => ({
  object: prediction.object,
  section: prediction.section,
  offset: hex(prediction.offset),
  relocation: prediction.relocation,
  symbol: prediction.symbol,
  addend: signedHex(prediction.addend),
  text: prediction.text ?? null,
  results: prediction.results,
  breaksWithoutPie: prediction.breaksWithoutPie,
});

/** "-0x4": r_addend is signed. */
const signedHex = (value: bigint): string => (value < 0n ? `-${hex(-value)}` : hex(value));
