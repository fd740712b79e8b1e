import { type ChildProcess, spawn } from "node:child_process"
import { createRequire } from "node:module"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"

export const REPLICAS = ["r0", "r1", "r2"] as const
export type ReplicaName = (typeof REPLICAS)[number]

/** One replica of the departures service: the program of services/replica in a process of its own. */
export class ReplicaProcess {
  readonly #settings: {
    readonly servers: string
    readonly replica: ReplicaName
    readonly faultyPeriods?: string
  }
  #child: ChildProcess | undefined
  #health: string | undefined

  constructor(settings: {
    readonly servers: string
    readonly replica: ReplicaName
    /** This replica runs the build with a bug, which shows in these periods. */
    readonly faultyPeriods?: string
  }) {
    this.#settings = settings
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** Resolves when the replica has executed all that was in the log. */
  async start(): Promise<void> {
    const { servers, replica, faultyPeriods } = this.#settings
    const module = faultyPeriods === undefined ? "./actors.js" : "./faulty-actors.js"
    const child = spawn(process.execPath, [PROGRAM], {
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        ...process.env,
        LOCKSTEP_SERVERS: servers,
        LOCKSTEP_GROUP: "departures",
        LOCKSTEP_REPLICA: replica,
        LOCKSTEP_CREATE_REPLICAS: REPLICAS.join(","),
        LOCKSTEP_MODULE: fileURLToPath(new URL(module, import.meta.url)),
        // as in production; the default elsewhere is to run every command twice and compare
        LOCKSTEP_DETERMINISM: "guarded",
        FAULTY_PERIODS: faultyPeriods ?? "",
      },
    })
    this.#child = child
    this.#health = undefined
    const failures: Array<string> = []
    createInterface({ input: child.stdout }).on("line", (line) => {
      const event = JSON.parse(line) as { event: string; health?: string; error?: string } // the replica's own log format
      if (event.event === "started") this.#health = event.health
      if (event.error !== undefined) failures.push(event.error)
    })
    while (!(await this.#ready())) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(
          `replica ${replica} ended before it was ready: ${failures.join("; ") || "it gave no reason"}`,
        )
      await sleep(20)
    }
  }

  /** SIGKILL: nothing is drained, nothing is said. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL")
  }

  /** SIGTERM: it drains. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM")
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((resolve) => child.once("exit", resolve))
    child.kill(signal)
    await exited
  }

  async #ready(): Promise<boolean> {
    if (this.#health === undefined) return false
    const response = await fetch(`${this.#health}/ready`)
    await response.body?.cancel()
    return response.ok
  }
}

const PROGRAM = createRequire(import.meta.url).resolve("@lockstep/replica-service")
