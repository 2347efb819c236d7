/** What was asked for makes no sense; the message is one plain line. On a command line it ends in exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
