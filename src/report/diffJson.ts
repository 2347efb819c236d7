// The answer of `firstlight diff` as the one object that `--json` prints. docs/json.md describes every field.

import type {
  DiffReport,
  FunctionDifference,
  FunctionPlace,
  Instruction,
  Row,
  SideFacts,
} from '../audit/diff/types.ts';
import { hex, hexBytes } from '../bits/hex.ts';
import type { DiffNames } from './diff.ts';

/** The object for two images, ready for JSON.stringify. */
export function diffJson(report: DiffReport, names: DiffNames) {
  const { functions, differing, onlyGood, onlyBad } = report;
  return {
    good: sideJson(names.good, report.good),
    bad: sideJson(names.bad, report.bad),
    summary: { ...functions, onlyGood: onlyGood.length, onlyBad: onlyBad.length },
    differing: differing.map(functionJson),
    onlyGood: onlyGood.map(placeJson),
    onlyBad: onlyBad.map(placeJson),
  };
}

const sideJson = (name: string, { what, size, functions, instructions, named, bytesLeft }: SideFacts) => ({
  ...{ name, what, size, functions, instructions, named, bytesLeft: bytesLeft ?? null },
});

const placeJson = ({ name, linkAddress, instructions }: FunctionPlace) => ({
  name: name ?? null,
  linkAddress: hex(linkAddress),
  instructions,
});

const functionJson = ({ good, bad, kind, counts, matchedBy, hunks }: FunctionDifference) => ({
  good: placeJson(good),
  bad: placeJson(bad),
  kind,
  counts,
  matchedBy,
  hunks: hunks.map((rows) => rows.map(rowJson)),
});

const rowJson = ({ kind, good, bad, note }: Row) => ({
  kind,
  good: good === undefined ? null : instructionJson(good),
  bad: bad === undefined ? null : instructionJson(bad),
  note: note ?? null,
});

const instructionJson = ({ fileOffset, linkAddress, bytes, text, target }: Instruction) => ({
  fileOffset,
  linkAddress: hex(linkAddress),
  bytes: hexBytes(bytes),
  text,
  target: target ?? null,
});
