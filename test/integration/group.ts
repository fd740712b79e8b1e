import { ReplicaProcess, type ReplicaSettings } from "@lockstep/replica-service/process"
import { type ActorClient, type Client, connect, type ConnectOptions } from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { setTimeout as sleep } from "node:timers/promises"
import { expect } from "vitest"
import { Ledger } from "./ledger.ts"

export type Fault = "value" | "state" | "error" | "flip"

const MODULE = new URL("ledger.ts", import.meta.url).pathname
/** Lets a replica process read a TypeScript module with decorators. */
export const TYPESCRIPT = {
  NODE_OPTIONS: `--import ${new URL("../../infra/scripts/ts-hooks.mjs", import.meta.url).href}`,
}

/** OpenTelemetry's own variables. */
export type Telemetry = Readonly<Record<`OTEL_${string}`, string>>

/** A replica process that hosts the ledger. */
export function ledgerReplica(
  settings: Omit<ReplicaSettings, "module"> & { readonly servers: string; readonly replica: string },
  env: {
    readonly FAULT?: Fault
    readonly NODE_ENV?: string
    readonly CHECKPOINTS?: "shards"
    readonly BUILD?: "2"
  } & Telemetry = {},
): ReplicaProcess {
  return new ReplicaProcess(
    { createReplicas: "r0,r1,r2", determinism: "guarded", ...settings, module: MODULE },
    { ...TYPESCRIPT, ...env },
  )
}

/** A nats-server and three replica processes; those that are named have a fault. */
export class LedgerGroup implements AsyncDisposable {
  readonly server: Server
  readonly replicas: ReadonlyArray<ReplicaProcess>

  private constructor(
    server: Server,
    faults: Readonly<Record<string, Fault>>,
    settings: Readonly<Record<string, string | number>>,
    checkpoints: "copies" | "shards",
    telemetry: Telemetry,
  ) {
    this.server = server
    this.replicas = ["r0", "r1", "r2"].map((replica) => {
      const fault = faults[replica]
      const env = {
        ...(fault !== undefined && { FAULT: fault }),
        ...(checkpoints === "shards" && { CHECKPOINTS: checkpoints }),
        ...telemetry,
      }
      return ledgerReplica({ servers: server.url, replica, ...settings }, env)
    })
  }

  /** `settings` are the replicas', by the names that their configuration file uses. */
  static async start(
    faults: Readonly<Record<string, Fault>> = {},
    settings: Readonly<Record<string, string | number>> = {},
    checkpoints: "copies" | "shards" = "copies",
    telemetry: Telemetry = {},
  ): Promise<LedgerGroup> {
    const group = new LedgerGroup(await startServer(), faults, settings, checkpoints, telemetry)
    await Promise.all(group.replicas.map((replica) => replica.start()))
    return group
  }

  replica(index: number): ReplicaProcess {
    const replica = this.replicas[index]
    if (replica === undefined) throw new Error(`there is no replica ${index}`)
    return replica
  }

  connect(options: Partial<ConnectOptions> = {}): Promise<Client> {
    return connect({ servers: this.server.url, ...options })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.kill()))
    await this.server.stop()
  }
}

/** Callers that record entry after entry, each as soon as its last one is answered, and remember every answer. */
export class Load {
  /** The place that each entry was said to have. */
  readonly answers = new Map<string, number>()
  readonly errors: Array<unknown> = []
  readonly #client: Client
  readonly #callers: ReadonlyArray<Promise<void>>
  #issued = 0
  #stopped = false

  constructor(client: Client, callers = 8) {
    this.#client = client
    this.#callers = Array.from({ length: callers }, (_, i) => this.#call(`key-${i % 3}`))
  }

  /** Resolves when this many more entries were answered. */
  async progress(answers: number): Promise<void> {
    const goal = this.answers.size + answers
    const deadline = performance.now() + 30_000
    while (this.answers.size < goal) {
      if (performance.now() > deadline)
        throw new Error(
          `only ${this.answers.size} of ${goal} were answered: ${this.errors.map(String).join()}`,
        )
      await sleep(2)
    }
  }

  /** Stops, and checks that no caller was told anything wrong: every answered entry is there, once, at its place. */
  async stopAndCheck(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#callers)
    expect(this.errors.map(String)).toEqual([])
    const ledgers = new Map<string, ReadonlyArray<string>>()
    for (const key of ["key-0", "key-1", "key-2"])
      ledgers.set(key, await allEntries(this.#client.actor(Ledger, key)))
    const wrong = [...this.answers].filter(
      ([id, place]) => ledgers.get(id.split("/")[0] ?? "")?.[place] !== id,
    )
    expect(wrong).toEqual([])
    const recorded = [...ledgers.values()].flat()
    expect(recorded.length).toBe(this.answers.size)
    expect(new Set(recorded).size).toBe(recorded.length)
  }

  async #call(key: string): Promise<void> {
    const ledger = this.#client.actor(Ledger, key)
    while (!this.#stopped) {
      const id = `${key}/${this.#issued++}`
      try {
        this.answers.set(id, await ledger.record(id))
      } catch (error) {
        this.errors.push(error)
        await sleep(10) // a test that has failed closes the client, and every call is refused at once
        if (this.errors.length > 100) return
      }
    }
  }
}

/** A ledger that was written to for a while is more than one result may hold. */
async function allEntries(ledger: ActorClient<Ledger>): Promise<ReadonlyArray<string>> {
  const entries: Array<string> = []
  for (;;) {
    const page = await ledger.entries(entries.length)
    if (page.length === 0) return entries
    entries.push(...page)
  }
}

/** Correct replicas that have executed as much are equal. */
export async function expectEqual(replicas: ReadonlyArray<ReplicaProcess>): Promise<void> {
  const states = async (): Promise<ReadonlyArray<string>> =>
    (await Promise.all(replicas.map((replica) => replica.status()))).map((status) =>
      status.map(({ applied, chain }) => `${applied} ${chain}`).join(),
    )
  await expect.poll(async () => new Set(await states()).size, { timeout: 10_000 }).toBe(1)
}
