import { cpus, release } from "node:os"
import { startServer } from "lockstep/develop"
import type { Contender } from "./contender.ts"
import { startFloor } from "./floor.ts"
import { startFramework } from "./framework.ts"
import { median, percentile, spread } from "./measure.ts"

/**
 * npm run bench [-- --quick] [-- --json]: the framework beside plain code that does the same work on the same server, in one
 * run, in rounds that take turns. Quote the ratios: the figures are this machine's. Nothing fails on a slow machine.
 */
const quick = process.argv.includes("--quick")
const json = process.argv.includes("--json")
const rounds = quick ? 3 : 7
const sequentialCalls = quick ? 300 : 1000
const commands = quick ? 200_000 : 400_000
const IN_FLIGHT = 4096
const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`)

interface Result {
  readonly name: string
  readonly p50Ms: Array<number>
  readonly p99Ms: Array<number>
  readonly perSecond: Array<number>
}

async function measure(contender: Contender, result: Result): Promise<void> {
  const counters = keys.map((key) => contender.counter(key))
  const latencies: Array<number> = []
  for (let i = 0; i < sequentialCalls; i++) {
    const start = performance.now()
    await counters[i % counters.length]?.()
    latencies.push(performance.now() - start)
  }
  latencies.sort((a, b) => a - b)
  result.p50Ms.push(percentile(latencies, 0.5))
  result.p99Ms.push(percentile(latencies, 0.99))
  result.perSecond.push(await throughput(counters))
}

/** Commands a second, with many callers that each wait for their own answer before they call again. */
async function throughput(counters: ReadonlyArray<() => Promise<number>>): Promise<number> {
  let sent = 0
  const caller = async (): Promise<void> => {
    while (sent < commands) await counters[sent++ % counters.length]?.()
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller))
  return sent / ((performance.now() - start) / 1000)
}

async function run(): Promise<void> {
  await using server = await startServer()
  await using floor = await startFloor(server.url, 1)
  await using framework = await startFramework(server.url, 1)
  const contenders = [floor, framework]
  const results = contenders.map(({ name }): Result => ({ name, p50Ms: [], p99Ms: [], perSecond: [] }))
  for (let round = 0; round <= rounds; round++)
    for (const [i, contender] of contenders.entries()) {
      const result = results[i]
      // the first round warms up, and counts for nothing
      if (result !== undefined)
        await measure(contender, round === 0 ? { name: "", p50Ms: [], p99Ms: [], perSecond: [] } : result)
      process.stderr.write(".")
    }
  process.stderr.write("\n")
  report(results)
}

function report(results: ReadonlyArray<Result>): void {
  const [cpu] = cpus()
  const settings = {
    machine: `${cpus().length} × ${cpu?.model ?? "unknown"}, Linux ${release()}, Node ${process.version}`,
    log: "one nats-server, one copy, file storage, sync_interval always",
    rounds,
    sequentialCalls,
    commands,
    inFlight: IN_FLIGHT,
    keys: keys.length,
  }
  const [floor, framework] = results
  if (floor === undefined || framework === undefined) return
  const ratios = {
    p50: median(framework.p50Ms) / median(floor.p50Ms),
    p99: median(framework.p99Ms) / median(floor.p99Ms),
    throughput: median(framework.perSecond) / median(floor.perSecond),
  }
  if (json) {
    process.stdout.write(`${JSON.stringify({ settings, results, ratios }, undefined, 2)}\n`)
    return
  }
  const lines = [
    "",
    ...Object.entries(settings).map(([name, value]) => `  ${name.padEnd(16)}${value}`),
    "",
    `  ${"medians of rounds (spread)".padEnd(48)}${"p50".padStart(16)}${"p99".padStart(16)}${"commands/s".padStart(24)}`,
    ...results.map(
      ({ name, p50Ms, p99Ms, perSecond }) =>
        `  ${name.padEnd(48)}${`${median(p50Ms).toFixed(2)} ms ${spread(p50Ms)}`.padStart(16)}${`${median(p99Ms).toFixed(2)} ms ${spread(p99Ms)}`.padStart(16)}${`${Math.round(median(perSecond)).toLocaleString("en-US")} ${spread(perSecond)}`.padStart(24)}`,
    ),
    "",
    `  latency p50: ${ratios.p50.toFixed(2)} × plain code; p99: ${ratios.p99.toFixed(2)} ×; throughput: ${ratios.throughput.toFixed(2)} ×`,
    "",
  ]
  process.stdout.write(lines.join("\n"))
}

await run()
