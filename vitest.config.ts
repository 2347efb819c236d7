import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Files of one worker share their modules: the generated interpreter is compiled once, not once a file.
    pool: 'threads',
    isolate: false,
    maxWorkers: '100%',
    testTimeout: 400_000,
    hookTimeout: 600_000,
    // A forgotten `.only` would silently pass over everything else.
    allowOnly: false,
  },
});
