import type { Trial } from "./trial.ts"

export function print(trials: ReadonlyArray<Trial>): string {
  return `${JSON.stringify(trials, undefined, 1)}\n`
}
