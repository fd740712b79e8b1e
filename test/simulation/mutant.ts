import { attempt } from "./worker.ts"

/** Run by the mutation gate, in a process whose sources have a bug: says after how many seeds which rule caught it. */
const seedsMax = Number(process.argv[2] ?? 0)
const mode = process.argv[3] === "primary-backup" ? "primary-backup" : "state-machine"
let found: object = { rules: [] }
for (let seed = 0; seed < seedsMax; seed++) {
  const { rules, detail } = broken(seed)
  if (rules.length === 0) continue
  found = { seeds: seed + 1, rules, detail }
  break
}
process.stdout.write(JSON.stringify(found))

function broken(seed: number): { readonly rules: ReadonlyArray<string>; readonly detail: string } {
  const run = attempt(seed, { mode })
  const failures = "rule" in run ? [run] : run.failures
  return { rules: [...new Set(failures.map(({ rule }) => rule))], detail: failures[0]?.detail ?? "" }
}
