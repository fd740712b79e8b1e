import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Mutant } from "./mutant-list.ts"

/** What became of a mutant. */
export interface Autopsy {
  readonly mutant: Mutant
  /** Seeds that it took; undefined where it survived all of `seedsMax`. */
  readonly seeds: number | undefined
  /** The rules that it broke. */
  readonly rules: ReadonlyArray<string>
  readonly detail: string
}

const PROGRAM = fileURLToPath(new URL("mutant.ts", import.meta.url))
const HOOKS = new URL("../../infra/scripts/ts-hooks.mjs", import.meta.url).href

/** Runs the simulator in a process of its own, whose sources have this bug. */
export async function autopsy(mutant: Mutant): Promise<Autopsy> {
  const { file, find, replace } = mutant
  const child = spawn(
    process.execPath,
    [
      "--conditions=@lockstep/source",
      "--import",
      HOOKS,
      PROGRAM,
      String(mutant.seedsMax),
      mutant.mode ?? "state-machine",
    ],
    {
      env: { ...process.env, LOCKSTEP_PATCH: JSON.stringify({ file, find, replace }) },
      stdio: ["ignore", "pipe", "pipe"],
    },
  )
  const text = { out: "", err: "" }
  child.stdout.on("data", (chunk: Buffer) => (text.out += chunk.toString()))
  child.stderr.on("data", (chunk: Buffer) => (text.err += chunk.toString()))
  await once(child, "close")
  if (text.out === "") throw new Error(`the mutant ${mutant.name} did not run:\n${text.err.slice(0, 2000)}`)
  const found = JSON.parse(text.out) as { seeds?: number; rules: ReadonlyArray<string>; detail?: string } // by mutant.ts
  return { mutant, seeds: found.seeds, rules: found.rules, detail: found.detail ?? "" }
}

/** All of them, two at a time. */
export async function autopsies(
  mutants: ReadonlyArray<Mutant>,
  onDone: (found: Autopsy) => void = () => undefined,
): Promise<ReadonlyArray<Autopsy>> {
  const results = new Map<Mutant, Autopsy>()
  const queue = [...mutants]
  const work = async (): Promise<void> => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const found = await autopsy(mutant)
      results.set(mutant, found)
      onDone(found)
    }
  }
  await Promise.all([work(), work()])
  return mutants.flatMap((mutant) => results.get(mutant) ?? [])
}
