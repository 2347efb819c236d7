// Header and layout of a bzImage: every field against the file and its own rules, payload, memory, PE header, checksums.
import type { Finding } from '../types.ts';
import { auditChecksums } from './checksum.ts';
import { type HeaderFacts, headerFacts } from './facts.ts';
import { FIELD_ROWS } from './fieldRows.ts';
import { GROUND_ROWS, LAYOUT_ROWS } from './layoutRows.ts';
import { PAYLOAD_ROWS } from './payloadRows.ts';
import { auditPe } from './peRules.ts';
import { applyRows } from './row.ts';

/**
 * Findings of a bzImage's headers, notes among them, in the order of the file's parts. Throws an InputError only where
 * the file is no bzImage at all; a bzImage that contradicts itself is what findings are for.
 */
export function auditHeaderOf(bytes: Uint8Array): Finding[] {
  return auditFacts(headerFacts(bytes));
}

/** The same, of facts already read. */
export function auditFacts(facts: HeaderFacts): Finding[] {
  const ground = applyRows(facts, GROUND_ROWS);
  if (ground.length > 0) return ground;
  return [
    ...applyRows(facts, LAYOUT_ROWS),
    ...applyRows(facts, FIELD_ROWS),
    ...applyRows(facts, PAYLOAD_ROWS),
    ...auditPe(facts),
    ...auditChecksums(facts),
  ];
}
