// Text from files and guests as it may be shown: nothing in it acts on a terminal, or on the order in which letters stand.

/** C0, DEL, C1, line and paragraph separators, and what changes the direction of text. Line ends and tabs are ours to judge. */
const ACTING = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]/gu;

const hexOf = (char: string, digits: number): string => char.charCodeAt(0).toString(16).padStart(digits, '0');

/** One line: every character that acts instead of being seen as \xNN, or \uNNNN above 0xff. */
export const visible = (text: string): string =>
  text.replace(ACTING, (char) => (char < '\u0100' ? `\\x${hexOf(char, 2)}` : `\\u${hexOf(char, 4)}`));

/** Lines: the same but for their ends, and all as \uNNNN, so that JSON stays the same JSON. */
export const visibleLines = (text: string): string =>
  text.replace(ACTING, (char) => (char === '\n' ? char : `\\u${hexOf(char, 4)}`));
