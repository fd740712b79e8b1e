import { defineConfig } from "vitest/config"

const major = Number(process.versions.node.split(".")[0])
if (major < 22)
  throw new Error(
    `Node ${process.version}: run through npm scripts or npx after npm ci (Node 24 is in node_modules/.bin)`,
  )

const shared = {
  // do not rely on tsconfig discovery: files outside a tsconfig "include" would keep raw decorators
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  // workspace packages are tested from src, no build step
  ssr: { resolve: { conditions: ["@lockstep/source"] } },
}

export default defineConfig({
  ...shared,
  test: {
    projects: [
      {
        ...shared,
        test: {
          name: "unit",
          // a bound on hanging, not on slowness: two cores may be busy with other things
          testTimeout: 60_000,
          include: [
            "framework/*/test/**/*.test.ts",
            "services/*/test/**/*.test.ts",
            "samples/*/test/**/*.test.ts",
            "test/*.test.ts",
          ],
        },
      },
      {
        ...shared,
        test: { name: "simulation", include: ["test/simulation/**/*.test.ts"], testTimeout: 300_000 },
      },
      {
        ...shared,
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts", "test/conformance/**/*.test.ts"],
          testTimeout: 60_000,
        },
      },
      {
        ...shared,
        test: { name: "chaos", include: ["test/chaos/**/*.test.ts"], testTimeout: 180_000 },
      },
      {
        ...shared,
        test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], testTimeout: 180_000 },
      },
    ],
  },
})
