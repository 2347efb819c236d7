// Options about the form of an answer.

import type { OptionRow } from './row.ts';

export const OUTPUT_OPTIONS: readonly OptionRow[] = [
  {
    name: 'json',
    commands: ['boot', 'why', 'audit', 'diff', 'info'],
    besideRestore: true,
    help: ['Print one JSON object on stdout, and nothing else (docs/json.md).'],
  },
  {
    name: 'sarif',
    commands: ['audit'],
    help: ['Print a SARIF 2.1.0 log on stdout, and nothing else, for code-scanning tools.'],
  },
  {
    name: 'quiet',
    commands: ['boot', 'why', 'audit', 'diff'],
    besideRestore: true,
    help: [
      'Say nothing where the run ends as asked, else how it ended, in one line. What',
      'the guest prints is shown; with --run, what the command prints.',
    ],
    helpFor: {
      why: ['Say nothing but the outcome and the findings, in a line each.'],
      audit: ['Say nothing but the findings, in a line each, and their number.'],
      diff: ['Say nothing but the functions that differ, in a line each, and their number.'],
    },
  },
];
