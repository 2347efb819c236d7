/** What the user gave us cannot be used. The message is one plain line; front ends print it and exit with 2. */
export class InputError extends Error {
  override readonly name = 'InputError';
}
