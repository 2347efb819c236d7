// One process of fuzz-guest.ts: runs the cases it is sent and tells of every life as it begins.
import { compareCase, type Compared } from '../../test/support/fuzz/compare.ts';
import { realCode } from '../../test/support/fuzz/real.ts';

export type CaseTask = {
  readonly seed: number;
  readonly lives: number;
  readonly instructions: number;
};

export type CaseReply =
  | { readonly kind: 'life'; readonly text: string }
  | { readonly kind: 'done'; readonly compared: Compared; readonly ms: number; readonly rss: number }
  | { readonly kind: 'threw'; readonly error: string };

const real = realCode();
const tell = (reply: CaseReply): void => void process.send?.(reply);

// Ctrl-C reaches every process of the terminal; the parent says when to end.
process.on('SIGINT', () => undefined);

process.on('message', (task: CaseTask) => {
  const start = performance.now();
  try {
    const compared = compareCase(task.seed, {
      real,
      lives: task.lives,
      instructions: task.instructions,
      now: () => performance.now(),
      onLife: (number, text) => tell({ kind: 'life', text: `life ${number}: ${text}` }),
    });
    tell({ kind: 'done', compared, ms: performance.now() - start, rss: process.memoryUsage.rss() });
  } catch (error) {
    tell({ kind: 'threw', error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
});
