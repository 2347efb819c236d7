import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Files of one worker share their modules: the generated interpreter is compiled once, not once a file.
    pool: 'threads',
    isolate: false,
    maxWorkers: '100%',
    // A net for what never ends, and no measure of speed: a busy machine must not fail a test.
    testTimeout: 3_600_000,
    hookTimeout: 3_600_000,
    // A forgotten `.only` would silently pass over everything else.
    allowOnly: false,
  },
});
