// Commands out of a shell line or a build log: words with their quotes taken off (POSIX shell, "Quoting"), simple commands
// apart. Nothing is expanded. One pass over the text, so that the time is proportional to its size.

export interface SimpleCommand {
  readonly words: readonly string[];
  /** Line of the text on which it starts, from 1. */
  readonly line: number;
}

/** Longer lines are no command of a kernel build, and are passed over. */
const LONGEST_LINE = 1 << 20;

/** How the kernel's build keeps a command beside its output, in .vmlinux.cmd. */
const SAVED = /^(?:saved)?cmd_\S{1,4096} := /;

interface LogicalLine {
  readonly text: string;
  readonly line: number;
}

/** Lines with their continuations ("\" before the line's end) joined. Those for which `wanted` is false are left out. */
export function* commandsIn(text: string, wanted: (line: string) => boolean): Generator<SimpleCommand> {
  for (const { text: logical, line } of logicalLines(text)) {
    if (!wanted(logical)) continue;
    for (const words of simpleCommands(logical.replace(SAVED, ''))) if (words.length > 0) yield { words, line };
  }
}

function* logicalLines(text: string): Generator<LogicalLine> {
  let parts: string[] = [];
  let length = 0;
  let first = 1;
  let line = 0;
  for (let start = 0; start <= text.length; ) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    const own = text.slice(start, text[end - 1] === '\r' && end > start ? end - 1 : end);
    line++;
    if (parts.length === 0) first = line;
    const goesOn = continues(own);
    length += own.length;
    if (length <= LONGEST_LINE) parts.push(goesOn ? `${own.slice(0, -1)} ` : own);
    if (!goesOn || end === text.length) {
      if (length <= LONGEST_LINE) yield { text: parts.join(''), line: first };
      parts = [];
      length = 0;
    }
    start = end + 1;
  }
}

/** An odd number of backslashes at the end. */
function continues(line: string): boolean {
  let count = 0;
  while (count < line.length && line[line.length - 1 - count] === '\\') count++;
  return count % 2 === 1;
}

/** The simple commands of a line, split at ; & | and parentheses outside quotes. A `#` word starts a comment. */
function simpleCommands(line: string): string[][] {
  const commands: string[][] = [[]];
  let word: string | undefined;
  const endWord = (): void => {
    if (word !== undefined) commands.at(-1)!.push(word);
    word = undefined;
  };
  let at = 0;
  while (at < line.length) {
    const c = line[at]!;
    if (c === "'" || c === '"') {
      const { text, next } = quoted(line, at + 1, c);
      word = (word ?? '') + text;
      at = next;
      continue;
    }
    if (c === '#' && word === undefined) break;
    if (c === ' ' || c === '\t') endWord();
    else if (SEPARATORS.has(c)) {
      endWord();
      commands.push([]);
    } else if (c === '\\') {
      word = (word ?? '') + (line[++at] ?? '');
    } else word = (word ?? '') + c;
    at++;
  }
  endWord();
  return commands;
}

const SEPARATORS: ReadonlySet<string> = new Set([';', '&', '|', '(', ')', '`']);

/** What stands between quotes, from behind the opening one; one that is never closed reaches to the end of the line. */
function quoted(line: string, start: number, quote: string): { text: string; next: number } {
  if (quote === "'") {
    const end = line.indexOf("'", start);
    return end < 0 ? { text: line.slice(start), next: line.length } : { text: line.slice(start, end), next: end + 1 };
  }
  let text = '';
  let at = start;
  for (; at < line.length && line[at] !== '"'; at++) {
    if (line[at] === '\\' && '"\\$`'.includes(line[at + 1] ?? ' ')) at++;
    text += line[at];
  }
  return { text, next: at + 1 };
}
