// One audit of all objects that are linked together, as a report for each file they came in.

import { isArchive } from '../image/archive.ts';
import type { AuditInput } from './options.ts';
import { auditObjects, type LinkCommand, type ObjectAudit } from './objects/audit.ts';
import { split } from './report.ts';
import type { AuditReport, Finding } from './types.ts';

/** Throws an InputError where one of them is none, or contradicts itself. */
export function objectReports(
  objects: readonly AuditInput[],
  link: LinkCommand | undefined,
): ReadonlyMap<AuditInput, AuditReport> {
  if (objects.length === 0) return new Map();
  const audit = auditObjects(objects, link);
  const all = [...audit.findings, ...audit.notes];
  // What is said of the link, and of no file alone, stands in the first report.
  const common = all.filter((finding) => !objects.some(({ name }) => isOf(name, finding)));
  return new Map(
    objects.map((input, index) => {
      const own = all.filter((finding) => isOf(input.name, finding));
      return [input, objectReport(input, audit, index === 0 ? [...own, ...common] : own)];
    }),
  );
}

/** Places and messages name the object first: "lib.a(string.o), .text+0x10". */
const isOf = (name: string, { place, message }: Finding): boolean => startsWithName(place ?? message, name);

const startsWithName = (text: string, name: string): boolean =>
  text.startsWith(name) && [',', '(', ':'].includes(text.charAt(name.length));

function objectReport({ name, bytes }: AuditInput, audit: ObjectAudit, findings: readonly Finding[]): AuditReport {
  const archive = isArchive(bytes);
  return {
    kind: archive ? 'archive' : 'object',
    size: bytes.length,
    what: archive ? 'an archive of object files' : 'an object file',
    ...split(findings),
    predictions: audit.predictions.filter(({ object }) => object === name || startsWithName(object, name)),
  };
}
