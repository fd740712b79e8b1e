import type { Entry } from "@lockstep/core"
import type { Network } from "./network.ts"
import type { Random } from "./random.ts"
import type { Schedule } from "./schedule.ts"

/** What the log answers to an entry. `undefined`: nothing, as when its leader dies. */
export type LogAnswer =
  | { readonly _tag: "Appended"; readonly seq: number }
  | { readonly _tag: "AppendRefused"; readonly detail: string }
  | { readonly _tag: "AppendUnknown" }
  | undefined

/** What a reader is told when it attaches. */
export interface LogState {
  readonly logId: string
  readonly firstSeq: number
  readonly lastSeq: number
}

/** A log's entries, as one server would hold them. A forked log has two. */
interface Branch {
  logId: string
  entries: Array<Entry>
}

const START_NS = 1_700_000_000_000_000_000n

/**
 * The ordered log as it is known to behave, and to fail: it may be away for a while, accept without saying so, say that it
 * is full, go back in time when its leader changes, answer with old news about itself; and, on command, break its promises.
 */
export class SimulatedLog {
  readonly #schedule: Schedule
  readonly #random: Random
  readonly #network: Network
  readonly #branches: Array<Branch> = [{ logId: "log", entries: [] }]
  /** Who reads and writes which branch; the first where nothing is said. */
  readonly #branchOf = new Map<string, number>()
  readonly #readers = new Set<Reader>()
  /** Entries that a reader is given in another form, or not at all, by seq. */
  readonly #tampered = new Map<string, Map<number, Entry | "missing">>()
  /** What is below it was truncated: readers cannot have it any more, checkers can. */
  #firstSeq = 1
  #awayUntilMs = 0
  #fullUntilMs = 0
  #skewNs = 0n
  #sealed = false
  #awayOnceReadMs = 0
  /** How often an entry is accepted without a word, or refused a word by a leader that accepted it. */
  silence = 0

  constructor(schedule: Schedule, random: Random, network: Network) {
    this.#schedule = schedule
    this.#random = random
    this.#network = network
  }

  /** What the log holds, as this node would read it. */
  entries(node = ""): ReadonlyArray<Entry> {
    return this.#branch(node).entries
  }

  get isForked(): boolean {
    return this.#branches.length > 1
  }

  append(node: string, source: string, payload: Uint8Array): LogAnswer {
    if (this.isAway) return this.#random.chance(0.5) ? undefined : { _tag: "AppendUnknown" }
    if (this.#sealed || this.#schedule.nowMs < this.#fullUntilMs)
      return { _tag: "AppendRefused", detail: "full: the log is full" }
    const branch = this.#branch(node)
    const seq = branch.entries.length + 1
    const timeNs = START_NS + BigInt(Math.round(this.#schedule.nowMs * 1e6)) + this.#skewNs
    branch.entries.push({ seq, timeNs, source, payload })
    for (const reader of this.#readers) if (this.#branch(reader.node) === branch) reader.pump()
    if (!this.#random.chance(this.silence)) return { _tag: "Appended", seq }
    return this.#random.chance(0.5) ? undefined : { _tag: "AppendUnknown" }
  }

  get isAway(): boolean {
    return this.#schedule.nowMs < this.#awayUntilMs
  }

  /** Entries below this position are gone. */
  truncate(below: number): void {
    this.#firstSeq = Math.max(this.#firstSeq, below)
  }

  /** What it says about itself: now and then that is old news. */
  state(node: string, mayBeStale: boolean): LogState {
    const { logId, entries } = this.#branch(node)
    const stale = mayBeStale && this.#random.chance(0.2) ? this.#random.integer(0, 5) : 0
    return { logId, firstSeq: this.#firstSeq, lastSeq: Math.max(0, entries.length - stale) }
  }

  /** Delivers entries from `from` on, in order, several at a time, until it is closed. */
  read(
    node: string,
    from: number,
    onEntries: (entries: ReadonlyArray<Entry>) => void,
  ): { readonly close: () => void; readonly heardAtMs: () => number } {
    const reader = new Reader({
      node,
      from: Math.max(from, this.#firstSeq), // a reader that is behind is moved on without a word
      onEntries,
      schedule: this.#schedule,
      random: this.#random,
      network: this.#network,
      entry: (seq) => this.#entryFor(node, seq),
      isAway: () => this.isAway,
    })
    this.#readers.add(reader)
    if (this.#awayOnceReadMs > 0) {
      this.changeLeader(this.#awayOnceReadMs, 0)
      this.#awayOnceReadMs = 0
    }
    reader.pump()
    return {
      close: () => {
        reader.close()
        this.#readers.delete(reader)
      },
      heardAtMs: () => (this.isAway || reader.isDead ? 0 : this.#schedule.nowMs),
    }
  }

  /** No leader for a while; the next one's clock is another. */
  changeLeader(awayMs: number, skewMs: number): void {
    this.#awayUntilMs = Math.max(this.#awayUntilMs, this.#schedule.nowMs + awayMs)
    this.#skewNs = BigInt(Math.round(skewMs * 1e6))
  }

  /** It comes back just long enough for the next reader to attach, and is away again before that one has read anything. */
  goAwayOnceRead(forMs: number): void {
    this.#awayOnceReadMs = forMs
  }

  fill(forMs: number): void {
    this.#fullUntilMs = Math.max(this.#fullUntilMs, this.#schedule.nowMs + forMs)
  }

  /** Nothing is accepted any more. */
  seal(): void {
    this.#sealed = true
  }

  /** The servers that hold this reader's consumer die: it falls silent. */
  loseConsumer(node: string): void {
    for (const reader of this.#readers) if (reader.node === node) reader.isDead = true
  }

  heal(): void {
    this.#awayUntilMs = this.#fullUntilMs = this.#awayOnceReadMs = 0
    this.silence = 0
  }

  /** Acknowledged entries vanish from the end, as many as there are of them. */
  loseTail(count: number): number {
    const lost = this.#branch("").entries.splice(-count)
    for (const reader of this.#readers) reader.isDead = true
    return lost.length
  }

  /** One reader's server leaves out an entry, or delivers other bytes in its place, from the next one on. */
  tamper(node: string, how: "missing" | "rewritten"): void {
    const seq = this.#branch(node).entries.length + 1
    let tampered = this.#tampered.get(node)
    if (tampered === undefined) this.#tampered.set(node, (tampered = new Map()))
    const rewritten = { seq, timeNs: START_NS, source: "client.nobody", payload: Buffer.from("flipped") }
    tampered.set(seq, how === "missing" ? "missing" : rewritten)
  }

  /** The log is deleted and made again under the same name. */
  recreate(): void {
    this.#firstSeq = 1
    const branch = this.#branch("")
    branch.logId = "another log"
    branch.entries = []
    for (const reader of this.#readers) reader.isDead = true
  }

  /** From now on these nodes read and write a log of their own. */
  fork(nodes: ReadonlyArray<string>): void {
    const { logId, entries } = this.#branch("")
    const branch = this.#branches.push({ logId, entries: [...entries] }) - 1
    for (const node of nodes) this.#branchOf.set(node, branch)
  }

  /** A reader goes to another server: that one may show a log that is whole, or the same as the first. */
  moveOn(node: string): void {
    if (this.#random.chance(0.5)) return
    this.#tampered.delete(node)
    this.#branchOf.delete(node)
  }

  #branch(node: string): Branch {
    const branch = this.#branches[this.#branchOf.get(node) ?? 0]
    if (branch === undefined) throw new RangeError(`the log has no branch for ${node}`)
    return branch
  }

  #entryFor(node: string, seq: number): Entry | "missing" | undefined {
    const entry = this.#branch(node).entries[seq - 1]
    return entry && (this.#tampered.get(node)?.get(seq) ?? entry)
  }
}

/** One consumer: it stops without a word when it is dead, and its messages keep their order. */
class Reader {
  readonly node: string
  isDead = false
  readonly #options: ReaderOptions
  #next: number
  #scheduled = false
  #closed = false

  constructor(options: ReaderOptions) {
    this.#options = options
    this.node = options.node
    this.#next = options.from
  }

  /** Something may be there to deliver. */
  pump(): void {
    if (this.#scheduled || this.isDead || this.#closed) return
    if (this.#options.entry(this.#next) === undefined) return
    this.#scheduled = true
    const { schedule, network, node } = this.#options
    schedule.after(network.delayMs(), `log>${node} entries`, () => this.#deliver())
  }

  close(): void {
    this.#closed = true
  }

  #deliver(): void {
    this.#scheduled = false
    const { network, node, random, onEntries, entry } = this.#options
    if (this.isDead || this.#closed) return
    if (network.isCut("log", node) || this.#options.isAway()) {
      this.isDead = true
      return
    }
    const batch: Array<Entry> = []
    for (let left = random.integer(1, 8); left > 0; left--) {
      const next = entry(this.#next)
      if (next === undefined) break
      this.#next++
      if (next !== "missing") batch.push(next)
    }
    if (batch.length > 0) onEntries(batch)
    this.pump()
  }
}

interface ReaderOptions {
  readonly node: string
  readonly from: number
  readonly onEntries: (entries: ReadonlyArray<Entry>) => void
  readonly schedule: Schedule
  readonly random: Random
  readonly network: Network
  readonly entry: (seq: number) => Entry | "missing" | undefined
  readonly isAway: () => boolean
}
