import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { type Client, connect, Diverged, LockstepError, NoQuorum } from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { Airport, type Board, type Flight } from "./airport.ts"
import { readFlights } from "./flights.ts"
import { Stream } from "./passengers.ts"
import { Progress } from "./progress.ts"
import { percentile, print, type Report } from "./report.ts"
import { sameBoard, sequentialBoards } from "./sequential.ts"
import { type Service, startService } from "./service.ts"
import type { Session } from "./tracing/session.ts"

/**
 * The departures boards of 220 airports, kept by three replica processes. 20,000 real flights are streamed to them while
 * one replica answers wrongly, and then while another is killed; then both faults are there at once, which is more than
 * f = 1 can mask. At the end every board is compared with a plain computation over the same file.
 */
async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: { json: { type: "boolean" }, trace: { type: "boolean" }, "trace-out": { type: "string" } },
  })
  const tracing = await startTracing(options)
  let traces
  let report
  try {
    report = await run(tracing)
  } finally {
    traces = await tracing?.end()
  }
  const result: Report = traces === undefined ? report : { ...report, traces }
  process.stdout.write(options.json === true ? `${JSON.stringify(result, undefined, 2)}\n` : print(result))
  process.exitCode = result.ok ? 0 : 1
}

/** OpenTelemetry's SDK is loaded only where it is asked for. */
async function startTracing(options: {
  readonly trace?: boolean | undefined
  readonly "trace-out"?: string | undefined
}): Promise<Session | undefined> {
  const folder = options["trace-out"]
  if (folder === undefined && options.trace !== true) return undefined
  if (folder !== undefined && options.trace === true)
    throw new Error(
      "--trace exports spans to an endpoint, and --trace-out DIR into a folder: choose one of them.",
    )
  if (folder === "") throw new Error("--trace-out needs a folder: --trace-out DIR")
  const { exportToEndpoint, writeInto } = await import("./tracing/session.ts")
  return folder === undefined ? exportToEndpoint(process.env) : writeInto(folder, process.env)
}

async function run(tracing: Session | undefined): Promise<Report> {
  const flights = readFlights()
  const plan = divide(flights)
  const progress = new Progress(flights.length, process.stderr)

  progress.say("starting nats-server (JetStream, file storage, fsync always) and three replica processes")
  await using server = await startServer()
  await using service = await startService(server.url, plan.faultyPeriods)
  await using client = await connect({ servers: server.url, group: "departures" })
  const stream = new Stream(client, (phase, done) => progress.show(phase, done))
  const start = performance.now()

  await stream.run("one call at a time", plan.oneByOne, { inFlight: 1 })
  const sequential = stream.latencies.toSorted((a, b) => a - b)
  await stream.run("all replicas are well", plan.well, { inFlight: 256 })
  tracing?.seek("dissent")
  await stream.run("r2 answers wrongly", plan.lying, { inFlight: 256 })

  await service.r1.kill()
  const killedMs = Date.now()
  tracing?.seek("missing")
  const back = sleep(500)
    .then(() => service.r1.start())
    .then(() => tracing?.outage("r1", killedMs, Date.now()))
  await stream.run("r1 is killed, comes back and replays the log", plan.killed, {
    inFlight: 256,
    perSecond: 2500,
  })
  await back
  tracing?.seek(undefined)

  const beyond = await beyondTheLimit(server, service, plan.both, stream)
  await stream.run("all replicas are well again", plan.rest, { inFlight: 256 })
  const seconds = (performance.now() - start) / 1000

  const different = await compare(client, flights, progress)
  progress.end()
  const latencies = stream.latencies.toSorted((a, b) => a - b)
  const dissents = Object.fromEntries(client.counts.dissents)
  const notExactlyOnce = stream.notExactlyOnce()
  return {
    ok:
      different.length === 0 &&
      notExactlyOnce.length === 0 &&
      beyond.wrongAnswers === 0 &&
      beyond.answeredAfterRetry === beyond.calls &&
      Object.keys(dissents).join() === "r2",
    commands: flights.length,
    seconds,
    commandsPerSecond: flights.length / seconds,
    latencyMs: {
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      max: latencies.at(-1) ?? 0,
    },
    sequentialLatencyMs: { p50: percentile(sequential, 0.5), p99: percentile(sequential, 0.99) },
    phases: stream.phases,
    dissents,
    longestGapMs: stream.longestGapMs,
    beyondTheLimit: beyond,
    airports: { compared: new Set(flights.map((flight) => flight.origin)).size, different },
    notExactlyOnce,
  }
}

interface Plan {
  readonly oneByOne: ReadonlyArray<Flight>
  readonly well: ReadonlyArray<Flight>
  readonly lying: ReadonlyArray<Flight>
  readonly killed: ReadonlyArray<Flight>
  readonly both: ReadonlyArray<Flight>
  readonly rest: ReadonlyArray<Flight>
  /** When the faulty build of r2 shows its bug. */
  readonly faultyPeriods: string
}

function divide(flights: ReadonlyArray<Flight>): Plan {
  // Periods are told apart by their times, so a phase ends where the time moves on.
  const at = (index: number): number => {
    while (flights[index]?.date === flights[index - 1]?.date) index++
    return index
  }
  const period = (from: number, to: number): string => `${flights[from]?.date}..${flights[to]?.date}`
  const well = 500
  const [lying, killed, both, rest] = [at(6000), at(11_000), at(17_000), at(17_050)]
  return {
    oneByOne: flights.slice(0, well),
    well: flights.slice(well, lying),
    lying: flights.slice(lying, killed),
    killed: flights.slice(killed, both),
    both: flights.slice(both, rest),
    rest: flights.slice(rest),
    faultyPeriods: [period(lying, killed), period(both, rest)].join(","),
  }
}

/**
 * r2 answers wrongly and r1 is dead: no two replicas agree, so no call may be answered. The commands are in the log all the
 * same, and when r1 is back the callers get the right answers without executing anything twice.
 */
async function beyondTheLimit(
  server: Server,
  service: Service,
  flights: ReadonlyArray<Flight>,
  stream: Stream,
): Promise<Report["beyondTheLimit"]> {
  await using client = await connect({
    servers: server.url,
    group: "departures",
    limits: { deadlineMs: 1500 },
  })
  await service.r1.kill()
  const answers = await Promise.allSettled(
    flights.map((flight) => client.actor(Airport, flight.origin).depart(flight)),
  )
  const errors: Record<string, number> = {}
  let example = ""
  for (const answer of answers) {
    if (answer.status === "fulfilled") continue
    if (!(answer.reason instanceof LockstepError)) throw answer.reason
    errors[answer.reason._tag] = (errors[answer.reason._tag] ?? 0) + 1
    example ||= `${answer.reason._tag}: ${answer.reason.message}`
  }
  await service.r1.start()
  let answeredAfterRetry = 0
  await Promise.all(
    answers.map(async (answer, i) => {
      const flight = flights[i]
      if (answer.status === "fulfilled" || flight === undefined) return
      if (!(answer.reason instanceof NoQuorum) && !(answer.reason instanceof Diverged)) return
      stream.record(flight, Number(await client.retry(answer.reason)))
      answeredAfterRetry++
    }),
  )
  const wrongAnswers = answers.filter((answer) => answer.status === "fulfilled").length
  return { calls: flights.length, wrongAnswers, errors, example, answeredAfterRetry }
}

/** Asks every airport for its board, and names those that a plain computation over the file does not confirm. */
async function compare(
  client: Client,
  flights: ReadonlyArray<Flight>,
  progress: Progress,
): Promise<ReadonlyArray<string>> {
  progress.say("comparing every airport's board with a sequential computation over the same file")
  const expected = sequentialBoards(flights)
  const boards = await Promise.all(
    [...expected.keys()].map(async (airport): Promise<readonly [string, Board]> => [
      airport,
      await client.actor(Airport, airport).board(),
    ]),
  )
  return boards
    .filter(([airport, board]) => {
      const wanted = expected.get(airport)
      return wanted === undefined || !sameBoard(board, wanted)
    })
    .map(([airport]) => airport)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`\n${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}\n`)
  process.exitCode = 1
}
