// Findings in the order in which people want them.

import type { AuditReport, Confidence, Finding } from './types.ts';

const RANK: Record<Finding['severity'], number> = { error: 0, warning: 1, note: 2 };
const SURENESS: Record<Confidence, number> = { high: 0, medium: 1, low: 2 };

/** Notes apart; the rest most certain first, then as they stand in the file. */
export function split(all: readonly Finding[]): Pick<AuditReport, 'findings' | 'notes'> {
  const order = (a: Finding, b: Finding): number =>
    RANK[a.severity] - RANK[b.severity] ||
    SURENESS[a.confidence] - SURENESS[b.confidence] ||
    (a.fileOffset ?? 0) - (b.fileOffset ?? 0);
  const findings = all.filter(({ severity }) => severity !== 'note').sort(order);
  return { findings, notes: all.filter(({ severity }) => severity === 'note') };
}
