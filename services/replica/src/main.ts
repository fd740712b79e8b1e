import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { Cause, Config, Effect, Exit, Fiber } from "effect"
import { type ActorClass, host, type HostOptions } from "lockstep"
import { configProvider, replicaConfig } from "./config.ts"
import { serveHealth } from "./health.ts"

/** One replica, for any supervisor: runs until SIGTERM or SIGINT, then drains and ends with 0. Logs JSON lines on stdout. */
const program = Effect.gen(function* () {
  const config = yield* replicaConfig.parse(configProvider(process.env))
  const actors = yield* Effect.tryPromise({ try: () => loadActors(config.module), catch: asError })
  const replica = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => host(hostOptions(config, actors)), catch: asError }),
    (running) => Effect.promise(() => running.drain()),
  )
  const health = yield* serveHealth(replica, config.healthPort)
  log({ event: "started", health, group: replica.group.group, pid: process.pid })
  return yield* Effect.never
})

type ReplicaConfig = Config.Success<typeof replicaConfig>

function hostOptions(config: ReplicaConfig, actors: ReadonlyArray<ActorClass>): HostOptions {
  return {
    servers: config.servers,
    group: config.group,
    replica: config.replica,
    actors,
    accept: list(config.accept) as NonNullable<HostOptions["accept"]>, // an unknown one accepts nothing
    onEvent: log,
    ...(config.determinism === "default" ? {} : { determinism: config.determinism }),
    ...(config.user === "" ? {} : { user: config.user, password: config.password }),
    ...(config.createReplicas === ""
      ? {}
      : { create: { replicas: list(config.createReplicas), partitions: config.createPartitions } }),
  }
}

function list(text: string): ReadonlyArray<string> {
  return text.split(",").filter((item) => item !== "")
}

async function loadActors(module: string): Promise<ReadonlyArray<ActorClass>> {
  const loaded: { readonly actors?: unknown } = await import(pathToFileURL(resolve(module)).href)
  if (Array.isArray(loaded.actors)) return loaded.actors as ReadonlyArray<ActorClass> // host() checks each of them
  throw new TypeError(`${module} exports no list \`actors\`: write export const actors = [YourClass]`)
}

function log(event: object): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`)
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause))
}

// All replicas live in one time zone, whatever their machines think.
process.env["TZ"] = "UTC"
const fiber = Effect.runFork(Effect.scoped(program))
for (const signal of ["SIGTERM", "SIGINT"] as const)
  process.once(signal, () => {
    log({ event: "draining", signal })
    Effect.runFork(Fiber.interrupt(fiber))
  })
fiber.addObserver((exit) => {
  const failed = Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
  if (failed) {
    const error = asError(Cause.squash(exit.cause))
    log({ event: "failed", error: `${error.name}: ${error.message}` })
  } else log({ event: "drained" })
  process.exitCode = failed ? 1 : 0
})
