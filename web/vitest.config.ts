import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    environment: "node",
    globalSetup: "test/setup.ts",
    testTimeout: 120_000,
    hookTimeout: 120_000,
    fileParallelism: false, // a browser and its threads want the machine to themselves
  },
});
