import type { Contender } from "./contender.ts"
import { startServer } from "lockstep/develop"
import { callAll, latencies } from "./callers.ts"
import { startFloor } from "./floor.ts"
import { startFramework } from "./framework.ts"
import { median, percentile, spread } from "./measure.ts"
import type { Scale } from "./scale.ts"
import { count, milliseconds, plusMinus, type Row, type Table } from "./table.ts"

const IN_FLIGHT = 4096
const KEYS = Array.from({ length: 1000 }, (_, i) => `key-${i}`)

/** The framework beside plain code that does the same work on the same server, in one run, in rounds that take turns. */
export async function measureComparison(scale: Scale): Promise<Table> {
  const rounds = scale === "quick" ? 3 : 7
  const work = {
    sequentialCalls: scale === "quick" ? 300 : 1000,
    commands: scale === "quick" ? 200_000 : 400_000,
  }
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
        await measure(
          contender,
          round === 0 ? { name: "", p50Ms: [], p99Ms: [], perSecond: [] } : result,
          work,
        )
      process.stderr.write(".")
    }
  process.stderr.write("\n")
  const rows = results.map(rowOf)
  const [plain, voted] = rows
  const times = (figure: string): string =>
    ((voted?.figures[figure] ?? Number.NaN) / (plain?.figures[figure] ?? Number.NaN)).toFixed(2)
  return {
    title: "Beside plain code",
    settings: {
      rounds,
      calls: `${count(work.sequentialCalls)} one at a time, then ${count(work.commands)} with ${count(IN_FLIGHT)} open, over ${count(KEYS.length)} keys`,
    },
    columns: [
      { title: "p50", figure: "p50Ms", format: milliseconds },
      { title: "", figure: "p50Spread", format: plusMinus },
      { title: "p99", figure: "p99Ms", format: milliseconds },
      { title: "", figure: "p99Spread", format: plusMinus },
      { title: "commands/s", figure: "perSecond", format: count },
      { title: "", figure: "perSecondSpread", format: plusMinus },
    ],
    rows,
    notes: [
      "medians of rounds (spread)",
      `latency p50: ${times("p50Ms")} × plain code; p99: ${times("p99Ms")} ×; throughput: ${times("perSecond")} ×`,
    ],
  }
}

interface Result {
  readonly name: string
  readonly p50Ms: Array<number>
  readonly p99Ms: Array<number>
  readonly perSecond: Array<number>
}

async function measure(
  contender: Contender,
  result: Result,
  work: { readonly sequentialCalls: number; readonly commands: number },
): Promise<void> {
  const counters = KEYS.map((key) => contender.counter(key))
  const call = async (i: number): Promise<unknown> => counters[i % counters.length]?.()
  const sorted = (await latencies(work.sequentialCalls, call)).toSorted((a, b) => a - b)
  result.p50Ms.push(percentile(sorted, 0.5))
  result.p99Ms.push(percentile(sorted, 0.99))
  const tookMs = await callAll({ calls: work.commands, open: IN_FLIGHT }, call)
  result.perSecond.push(work.commands / (tookMs / 1000))
}

function rowOf({ name, p50Ms, p99Ms, perSecond }: Result): Row {
  return {
    name,
    figures: {
      p50Ms: median(p50Ms),
      p50Spread: spread(p50Ms),
      p99Ms: median(p99Ms),
      p99Spread: spread(p99Ms),
      perSecond: median(perSecond),
      perSecondSpread: spread(perSecond),
    },
  }
}
