import { type ChildProcess, spawn } from "node:child_process"
import { createRequire } from "node:module"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import { setTimeout as sleep } from "node:timers/promises"
import { endWithUs } from "lockstep/develop"

/** Settings of the program, by the names that its configuration file uses: `{ servers, replica, module, … }`. */
export type ReplicaSettings = Readonly<Record<string, string | number>> & {
  readonly servers: string
  readonly replica: string
  readonly module: string
}

/** A line of the program's log. */
export interface LogLine {
  readonly time: string
  readonly event: string
  /** Where the event is a failure. */
  readonly error?: string
  readonly [field: string]: unknown
}

/** What `/status` answers for one partition. */
export interface PartitionStatus {
  readonly applied: number
  readonly chain: string
  readonly executed: number
  /** The last checkpoint that f+1 replicas agree on, and the last one that f+1 of them hold on their disks. */
  readonly stable: number
  readonly durable: number
  /** Which roster it has read of last, and what that makes it. */
  readonly epoch: number
  readonly role: "voter" | "standby" | "unlisted"
  readonly onProbation: boolean
  /** How many schemas operators have stated up to there, and why it executes nothing, where another build should. */
  readonly schema: number
  readonly waits: string | undefined
  readonly repeated: number
  readonly malformed: number
  /** Where its classes have a primary: who that is, and what it means. */
  readonly reign?: {
    readonly epoch: number
    readonly master?: string
    readonly inSync: ReadonlyArray<string>
    readonly acknowledgements: number
    readonly degraded: boolean
    readonly position: number
    readonly lossWindow: number
    readonly leased: boolean
    readonly committed: number
    readonly lag: Readonly<Record<string, number>>
    readonly truncated: number
    readonly degradedCommands: number
  }
  readonly halted: { readonly reason: string; readonly detail: string } | undefined
}

/**
 * The replica program in a process of its own, for samples and tests that kill, pause and restart it. In production any
 * supervisor does the same: it starts the program with the settings in the environment, and ends it with SIGTERM.
 */
export class ReplicaProcess implements AsyncDisposable {
  readonly replica: string
  /** Everything that it logged, over all its starts. */
  readonly log: Array<LogLine> = []
  readonly #env: NodeJS.ProcessEnv
  #child: ChildProcess | undefined
  #health: string | undefined

  /** `env` is added to the environment, for the actors' own use. */
  constructor(settings: ReplicaSettings, env: Readonly<Record<string, string>> = {}) {
    this.replica = settings.replica
    this.#env = { ...process.env, ...env, ...variables(settings) }
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  get running(): boolean {
    const child = this.#child
    return child !== undefined && child.exitCode === null && child.signalCode === null
  }

  /** Where it answers `/live`, `/ready` and `/status`; undefined until it has started. */
  get health(): string | undefined {
    return this.#health
  }

  /** Resolves when the replica has executed all that was in the log. Rejects with the reason when it ends before. */
  async start(): Promise<void> {
    await this.spawn()
    while (!(await this.#isReady())) {
      if (!this.running) {
        const { error = "it gave no reason" } = this.log.findLast(({ event }) => event === "failed") ?? {}
        throw new Error(`replica ${this.replica} ended before it was ready: ${error}`)
      }
      await sleep(20)
    }
  }

  /** Starts the process, and waits for nothing but the process. */
  async spawn(): Promise<void> {
    await this.kill()
    this.#health = undefined
    const child = spawn(process.execPath, [PROGRAM], {
      // the channel tells it when we are gone, however that came
      stdio: ["ignore", "pipe", "inherit", "ipc"],
      env: this.#env,
    })
    this.#child = child
    endWithUs(child)
    const stdout = child.stdout as Readable // it is a pipe, as above
    createInterface({ input: stdout }).on("line", (text) => {
      const line = JSON.parse(text) as LogLine // the program's own log format
      this.log.push(line)
      if (line.event === "started") this.#health = String(line["health"])
    })
  }

  /** SIGKILL: nothing is drained, nothing is said. */
  async kill(): Promise<void> {
    this.resume()
    await this.#end("SIGKILL")
  }

  /** SIGTERM: it drains. Resolves with its exit code. */
  async stop(): Promise<number | null> {
    this.resume()
    return this.#end("SIGTERM")
  }

  /** SIGSTOP: it stands still, and its connections stay open. */
  pause(): void {
    this.#child?.kill("SIGSTOP")
  }

  /** SIGCONT. */
  resume(): void {
    this.#child?.kill("SIGCONT")
  }

  /** What `/status` says, by partition. */
  async status(): Promise<ReadonlyArray<PartitionStatus>> {
    const response = await fetch(`${this.#health}/status`)
    const { partitions } = (await response.json()) as { partitions: ReadonlyArray<PartitionStatus> } // the program's own
    return partitions
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child
    if (child === undefined || !this.running) return child?.exitCode ?? null
    const exited = new Promise((resolve) => child.once("exit", resolve))
    child.kill(signal)
    await exited
    return child.exitCode
  }

  async #isReady(): Promise<boolean> {
    if (this.#health === undefined) return false
    try {
      const response = await fetch(`${this.#health}/ready`)
      await response.body?.cancel()
      return response.ok
    } catch {
      return false // it ended meanwhile
    }
  }
}

const PROGRAM = createRequire(import.meta.url).resolve("@lockstep/replica-service")

/** `healthPort` is LOCKSTEP_HEALTH_PORT. */
function variables(settings: ReplicaSettings): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [
      `LOCKSTEP_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
      String(value),
    ]),
  )
}
