// A report as data: lines with a meaning, wrapped here and coloured by the front end.

/** What a line is; front ends choose colours by it. */
export type LineTone = 'plain' | 'heading' | 'note' | 'good' | 'bad' | 'limit';

export type Line = {
  readonly text: string;
  readonly tone?: LineTone;
  /** Columns before the text. */
  readonly indent?: number;
  /** Further columns before its second line and the ones after it. */
  readonly hanging?: number;
  /** Not to be wrapped: a row of a table. */
  readonly whole?: boolean;
};

export const BLANK: Line = { text: '' };

/** Text under a heading. */
export const paragraph = (text: string, tone: LineTone = 'plain'): Line => ({ text, tone, indent: 2 });

/** Columns of a report where nothing narrower is known. */
export const REPORT_WIDTH = 100;

/** Words; what stands in backquotes is one word, so that a command is not torn. */
const WORD = /(?:`[^`]*`|\S)+/g;

/** The lines of a text of at most `width` columns; a longer word stands alone. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.match(WORD) ?? []) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** A line as the rows to print, indented and wrapped to `width` columns. */
export function rowsOf({ text, indent = 0, hanging = 0, whole = false }: Line, width = REPORT_WIDTH): string[] {
  const margin = ' '.repeat(indent);
  if (text === '') return [''];
  if (whole) return [`${margin}${text}`];
  const rows = wrapped(text, width - indent - hanging);
  return rows.map((row, index) => `${margin}${index === 0 ? '' : ' '.repeat(hanging)}${row}`);
}

/** Columns padded to the same width, two spaces apart. */
export function tableRows(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
