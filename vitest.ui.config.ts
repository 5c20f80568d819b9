import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/ui/**/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    pool: 'forks',
    maxWorkers: 1,
    // One walk through the editor: a step begins where the one before ended.
    bail: 1,
    reporters: ['default', './test/closing-line.ts'],
  },
});
