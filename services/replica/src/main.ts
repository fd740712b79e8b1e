import { existsSync } from "node:fs"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { Cause, Effect, Exit, Fiber } from "effect"
import { type ActorClass, host, type HostOptions } from "lockstep"
import { readConfig, type ReplicaConfig } from "./config.ts"
import { serveHealth } from "./health.ts"
import { startTelemetry } from "./telemetry.ts"

/** One replica, for any supervisor: runs until SIGTERM or SIGINT, then drains and ends with 0. Logs JSON lines on stdout. */
const program = Effect.gen(function* () {
  const config = yield* readConfig(process.env)
  yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => startTelemetry(process.env, config.replica), catch: asError }),
    (telemetry) => Effect.promise(async () => telemetry?.shutdown().catch(() => undefined)), // nobody may listen any more
  )
  const actors = yield* Effect.tryPromise({ try: () => loadActors(config.module), catch: asError })
  const replica = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => host(hostOptions(config, actors)), catch: asError }),
    (running) => Effect.promise(() => running.drain()),
  )
  const health = yield* serveHealth(replica, { host: config.healthHost, port: config.healthPort })
  report({ event: "started", health, group: replica.group.group, pid: process.pid })
  return yield* Effect.never
})

function hostOptions(config: ReplicaConfig, actors: ReadonlyArray<ActorClass>): HostOptions {
  const { servers, group, replica, standby, accept, dataDir, determinism, user, password } = config
  const { createReplicas: replicas, createPartitions: partitions = 1, createCopies } = config
  const log = createCopies === undefined ? {} : { copies: createCopies }
  const every = config.createCheckpointEveryBatches
  const checkpoints = every === undefined ? {} : { checkpointEveryBatches: every }
  return {
    servers,
    group,
    replica,
    standby,
    actors,
    accept,
    onEvent: report,
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(config.actorBytesMax === undefined ? {} : { actorBytesMax: config.actorBytesMax }),
    ...(config.truncateMarginEntries === undefined
      ? {}
      : { truncateMarginEntries: config.truncateMarginEntries }),
    ...(determinism === undefined ? {} : { determinism }),
    ...(user === undefined ? {} : { user, password: password ?? "" }),
    ...(replicas === undefined ? {} : { create: { replicas, partitions, log, ...checkpoints } }),
  }
}

async function loadActors(module: string): Promise<ReadonlyArray<ActorClass>> {
  const file = resolve(module)
  if (!existsSync(file)) throw new Error(`there is no module ${file}, which LOCKSTEP_MODULE names`)
  const { actors } = await load(file)
  if (Array.isArray(actors) && actors.every((item) => typeof item === "function"))
    return actors as ReadonlyArray<ActorClass> // host() checks each of them
  throw new Error(
    `${file} exports no list of classes as \`actors\`. Write there: export const actors = [YourClass]`,
  )
}

async function load(file: string): Promise<{ readonly actors?: unknown }> {
  try {
    return (await import(pathToFileURL(file).href)) as { readonly actors?: unknown } // a module is an object
  } catch (cause) {
    throw new Error(`the module ${file}, which LOCKSTEP_MODULE names, cannot be loaded: ${reasonOf(cause)}`, {
      cause,
    })
  }
}

function report(event: object): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`)
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause))
}

/** In words: the names of JavaScript's own errors say nothing to an operator, and those of Lockstep's can be looked up. */
function reasonOf(cause: unknown): string {
  const { name, message } = asError(cause)
  return ["Error", "TypeError", "RangeError"].includes(name) ? message : `${name}: ${message}`
}

/** At once, whatever timers and sockets the actors' module has left open. */
function end(code: 0 | 1): void {
  process.stdout.write("", () => process.exit(code))
}

// All replicas live in one time zone, whatever their machines think.
process.env["TZ"] = "UTC"
const fiber = Effect.runFork(Effect.scoped(program))
for (const signal of ["SIGTERM", "SIGINT"] as const)
  process.once(signal, () => {
    report({ event: "draining", signal })
    Effect.runFork(Fiber.interrupt(fiber))
  })
// whoever started it is gone, or reads its log no longer: a supervisor that is there starts it again
let isUnheard = false
process.stdout.on("error", () => {
  isUnheard = true
  Effect.runFork(Fiber.interrupt(fiber))
})
process.once("disconnect", () => {
  report({ event: "draining", reason: "the process that started it is gone" })
  Effect.runFork(Fiber.interrupt(fiber))
})
fiber.addObserver((exit) => {
  const failed = Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
  report(failed ? { event: "failed", error: reasonOf(Cause.squash(exit.cause)) } : { event: "drained" })
  end(failed || isUnheard ? 1 : 0)
})
