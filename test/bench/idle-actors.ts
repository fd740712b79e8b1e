import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { connect, createGroup } from "lockstep"
import { startServer } from "lockstep/develop"
import { callAll, latencies } from "./callers.ts"
import { processMemory, storeSize } from "./disk.ts"
import type { Held } from "./idle-host.ts"
import { median } from "./measure.ts"
import { biography } from "./profile.ts"
import type { Scale } from "./scale.ts"
import { Solo } from "./solo.ts"
import { bytes, count, milliseconds, type Row, type Table } from "./table.ts"

const OPEN = 4096
const WARM_UP_CALLS = 100_000
const CHECKPOINT_EVERY_BATCHES = 20
const ACTOR_BYTES_MAX = 16 * 1024 * 1024
const DEADLINE_MS = 3_600_000
const PROGRAM = new URL("idle-host.ts", import.meta.url).pathname

/** What a partition with a million actors takes when most of them are idle: all in memory, and most of them on the disk. */
export async function measureIdleActors(scale: Scale): Promise<Table> {
  const actors = scale === "quick" ? 50_000 : 1_000_000
  const calls = scale === "quick" ? 100 : 1000
  const folder = mkdtempSync(join(tmpdir(), "lockstep-bench-"))
  try {
    const rows: Array<Row> = []
    for (const size of [actors / 10, actors]) {
      rows.push(await row(`${count(size)}, all in memory`, { actors: size, calls }))
      const dataDir = join(folder, String(size))
      rows.push(await row(`${count(size)}, a folder`, { actors: size, calls, dataDir }))
    }
    const [more, moreOnDisk] = [further(rows[0], rows[2]), further(rows[1], rows[3])]
    return {
      title: "Idle actors",
      settings: {
        actors:
          "of about 300 bytes, in one partition of a group of one replica (f = 0), in a process of its own",
        folder: `with ${bytes(ACTOR_BYTES_MAX)} of actors in memory (actorBytesMax); a checkpoint every ${CHECKPOINT_EVERY_BATCHES} batches, ${count(OPEN)} calls open`,
        calls: `${calls} first calls to actors that have left memory, in turn with as many to ones that have not`,
      },
      columns: [
        { title: "in memory", figure: "resident", format: count },
        { title: "RSS of one", figure: "warmRssBytes", format: bytes },
        { title: "RSS", figure: "rssBytes", format: bytes },
        { title: "per actor", figure: "perActorBytes", format: bytes },
        { title: "peak RSS", figure: "peakRssBytes", format: bytes },
        { title: "store", figure: "storeBytes", format: bytes },
        { title: "p50 resident", figure: "residentP50Ms", format: milliseconds },
        { title: "p50 passive", figure: "passiveP50Ms", format: milliseconds },
      ],
      rows,
      notes: [
        `each further actor takes ${bytes(more)} in memory, and ${bytes(moreOnDisk)} of memory where it is on the disk`,
        `RSS after collections; per actor: the difference to the RSS with one actor, after ${count(WARM_UP_CALLS)} commands to it. With a folder,`,
        "64 bytes of each actor stay in memory for the digest of the state, besides what changed since the last checkpoint.",
      ],
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What one more actor takes of memory, by the difference of two sizes. */
function further(few: Row | undefined, many: Row | undefined): number {
  const difference = (figure: string): number =>
    (many?.figures[figure] ?? Number.NaN) - (few?.figures[figure] ?? Number.NaN)
  return difference("rssBytes") / difference("actors")
}

async function row(
  name: string,
  options: { readonly actors: number; readonly calls: number; readonly dataDir?: string },
): Promise<Row> {
  const { actors, calls, dataDir } = options
  await using server = await startServer()
  await createGroup({
    servers: server.url,
    replicas: ["r0"],
    checkpointEveryBatches: CHECKPOINT_EVERY_BATCHES,
    log: { copies: 1, maxBytes: 8 * 1024 ** 3, maxEntryBytes: 1024 ** 2 },
    accept: ["single-copy-log", "sync-interval"],
  })
  await using replica = await IdleHost.start(server.url, dataDir)
  await using client = await connect({ servers: server.url, limits: { deadlineMs: DEADLINE_MS } })
  const visit = (i: number): Promise<unknown> => client.actor(Solo, `key-${i}`).visit()
  // a process takes memory with its first commands, whatever they are for
  await callAll({ calls: WARM_UP_CALLS, open: OPEN }, () => visit(0))
  const warm = await replica.held({ collected: true })
  await callAll({ calls: actors, open: OPEN }, (i) => client.actor(Solo, `key-${i}`).write(biography(i)))
  if (dataDir !== undefined) await shelved(replica, () => visit(actors - 1))
  const full = await replica.held({ collected: true })
  // the last ones have been used last, and are in memory; the first ones have left it, where that may be
  const took = await latencies(2 * calls, (i) => visit(i % 2 === 0 ? i / 2 : actors - (i + 1) / 2))
  const ofEach = (which: 0 | 1): number => median(took.filter((_, i) => i % 2 === which))
  const memory = processMemory(replica.pid)
  return {
    name,
    figures: {
      actors: full.actors,
      resident: full.resident,
      warmRssBytes: warm.rssBytes,
      rssBytes: full.rssBytes,
      heapBytes: full.heapBytes,
      externalBytes: full.externalBytes,
      perActorBytes: (full.rssBytes - warm.rssBytes) / actors,
      ...(memory !== undefined && { peakRssBytes: memory.peakBytes }),
      residentP50Ms: ofEach(1),
      ...(dataDir !== undefined && { storeBytes: storeSize(dataDir).fileBytes }),
      ...(full.resident < actors && { passiveP50Ms: ofEach(0) }),
    },
  }
}

/** Makes calls, one at a time, until all that was in the log is in a checkpoint on the disk. */
async function shelved(replica: IdleHost, call: () => Promise<unknown>): Promise<void> {
  const { applied } = await replica.held({ collected: false })
  while ((await replica.held({ collected: false })).durable < applied) {
    await call()
    await sleep(1)
  }
}

/** The program in idle-host.ts. */
class IdleHost implements AsyncDisposable {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(servers: string, dataDir: string | undefined): Promise<IdleHost> {
    const settings = dataDir === undefined ? [] : [dataDir, String(ACTOR_BYTES_MAX)]
    const child = fork(PROGRAM, [servers, ...settings], { execArgv: [...process.execArgv, "--expose-gc"] })
    const endWithUs = (): void => void child.kill("SIGKILL")
    process.once("exit", endWithUs)
    child.once("exit", () => process.off("exit", endWithUs))
    const running = new IdleHost(child)
    await running.#answer()
    return running
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  async held(options: { readonly collected: boolean }): Promise<Held> {
    this.#child.send(options)
    return (await this.#answer()) as Held // the program's own answer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, "exit")
    this.#child.kill("SIGKILL")
    await exited
  }

  /** The next message of the program. Rejects when it ends without one. */
  async #answer(): Promise<unknown> {
    const ended = new AbortController()
    const exited = once(this.#child, "exit", { signal: ended.signal }).then(() => {
      throw new Error("the replica's process ended")
    })
    try {
      const [answer] = await Promise.race([once(this.#child, "message"), exited])
      return answer
    } finally {
      ended.abort()
      exited.catch(() => undefined)
    }
  }
}
