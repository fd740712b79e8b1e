import { writeFileSync } from "node:fs"
import { cpus, release, totalmem } from "node:os"
import { parseArgs } from "node:util"
import { NatsServerMissing } from "lockstep"
import { measureActors } from "./actors.ts"
import { measureCheckpointCost } from "./checkpoint-cost.ts"
import { measureCodedCheckpoints } from "./coded-checkpoints.ts"
import { measureComparison } from "./comparison.ts"
import { measureFaults } from "./faults.ts"
import { measureIdleActors } from "./idle-actors.ts"
import { measureLogLength } from "./log-length.ts"
import { measureModes } from "./modes.ts"
import { measurePartitions } from "./partitions.ts"
import { measurePeers } from "./peers.ts"
import { measureRecovery } from "./recovery.ts"
import { drawResults, type Outcome, type Results } from "./results.ts"
import type { Scale } from "./scale.ts"
import { measureSizes } from "./sizes.ts"
import { measureTracing } from "./tracing.ts"
import { measureVariants } from "./variants.ts"
import { bytes, render, type Table } from "./table.ts"

/**
 * npm run bench [-- --quick] [-- --json] [-- --svg FILE] [-- comparison sizes …]: what the framework costs, one table for each
 * subject; all of them where none is named. The figures are this machine's: quote ratios. Nothing fails on a slow machine.
 */
const SUBJECTS: Readonly<Record<string, (scale: Scale) => Promise<Table>>> = {
  comparison: measureComparison,
  peers: measurePeers,
  variants: measureVariants,
  faults: measureFaults,
  modes: measureModes,
  tracing: measureTracing,
  sizes: measureSizes,
  recovery: measureRecovery,
  actors: measureActors,
  partitions: measurePartitions,
  "log-length": measureLogLength,
  "checkpoint-cost": measureCheckpointCost,
  "idle-actors": measureIdleActors,
  "coded-checkpoints": measureCodedCheckpoints,
}

async function run(args: ReadonlyArray<string>): Promise<void> {
  const { values, positionals: names } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      svg: { type: "string" },
    },
  })
  const { json, svg } = values
  const scale: Scale = values.quick ? "quick" : "full"
  const unknown = names.find((name) => !(name in SUBJECTS))
  if (unknown !== undefined)
    throw new Error(`there is no subject ${unknown}: there are ${Object.keys(SUBJECTS).join(", ")}`)
  const settings: Results["settings"] = {
    scale,
    machine: machine(),
    log: "one nats-server, one copy, file storage, sync_interval always, where a subject says nothing else",
  }
  const tables: Record<string, Outcome> = {}
  if (!json) print(Object.entries(settings).map(([name, value]) => `  ${name.padEnd(24)}${value}`))
  for (const [name, measure] of Object.entries(SUBJECTS)) {
    if (names.length > 0 && !names.includes(name)) continue
    process.stderr.write(`${name} …\n`)
    const table = await measured(measure, scale)
    tables[name] = table
    if (!json) print(["skipped" in table ? `  ${name} is skipped: ${table.skipped}` : render(table)])
  }
  if (json) print([JSON.stringify({ settings, tables }, undefined, 2)])
  if (svg !== undefined) writeFileSync(svg, drawResults([{ settings, tables }]))
}

/** What needs something that is not on this machine says what. */
async function measured(measure: (scale: Scale) => Promise<Table>, scale: Scale): Promise<Outcome> {
  try {
    return await measure(scale)
  } catch (cause) {
    if (cause instanceof NatsServerMissing) return { skipped: cause.message }
    throw cause
  }
}

function machine(): string {
  const [cpu] = cpus()
  return `${cpus().length} × ${cpu?.model ?? "unknown"}, ${bytes(totalmem())}, ${process.platform} ${release()}, Node ${process.version}`
}

function print(lines: ReadonlyArray<string>): void {
  process.stdout.write(`${lines.join("\n")}\n`)
}

await run(process.argv.slice(2))
