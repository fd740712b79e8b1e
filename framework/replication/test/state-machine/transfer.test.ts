import {
  bucketDigest,
  bucketOf,
  BUCKETS,
  type Digest,
  digest,
  encodeAttestation,
  Epoch,
  type Entry,
  ReplicaId,
  rootOf,
} from "@lockstep/core"
import {
  answersTo,
  encodeHeader,
  type Library,
  Stage,
  type TransferAnswer,
  type TransferRequest,
} from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { Build } from "../../src/state-machine/build.ts"
import { type Asked, Transfer } from "../../src/state-machine/transfer.ts"

const [r0, r1, r2] = ["r0", "r1", "r2"].map(ReplicaId) as [ReplicaId, ReplicaId, ReplicaId] // three of them
const roster = { epoch: Epoch(1), voters: [r0, r1, r2], standbys: [] }
const schema = { number: 0, versions: new Map() }
const CHAIN = digest("chain")

/** The checkpoints of one peer, in memory. */
class Shelves implements Library {
  readonly #checkpoints = new Map<number, ReadonlyMap<number, ReadonlyMap<string, Uint8Array>>>()

  add(seq: number, rows: ReadonlyMap<string, Uint8Array>): this {
    const buckets = Map.groupBy(rows, ([id]) => bucketOf(id))
    this.#checkpoints.set(seq, new Map([...buckets].map(([index, own]) => [index, new Map(own)])))
    return this
  }

  manifest(seq: number): { readonly header: Buffer; readonly buckets: ReadonlyArray<Digest> } | undefined {
    const rows = this.#checkpoints.get(seq)
    if (rows === undefined) return undefined
    const buckets = Array.from({ length: BUCKETS }, () => EMPTY_BUCKET)
    for (const [index, bucket] of rows) buckets[index] = bucketDigest(bucket)
    const header = encodeHeader({
      seq,
      chain: CHAIN,
      chainBefore: CHAIN,
      timeNs: 1n,
      roster,
      schema,
      since: 0,
      root: rootOf(buckets),
    })
    return { header, buckets }
  }

  bucket(seq: number, index: number): ReadonlyMap<string, Uint8Array> {
    return this.#checkpoints.get(seq)?.get(index) ?? new Map()
  }
}

const EMPTY_BUCKET = bucketDigest(new Map())

function rowsOf(count: number, text: string): ReadonlyMap<string, Uint8Array> {
  return new Map(Array.from({ length: count }, (_, i) => [`actor\0T\0${i}`, Buffer.from(`${text} ${i}`)]))
}

/** What these replicas attest of a checkpoint, as the log holds it. */
function attested(
  library: Library,
  seq: number,
  replicas: ReadonlyArray<ReplicaId>,
  how?: "not durable",
): ReadonlyArray<Entry> {
  const state = digest(library.manifest(seq)?.header ?? "")
  return replicas.map((replica, i) => ({
    seq: seq + 1 + i,
    timeNs: 1n,
    source: `replica.${replica}`,
    payload: encodeAttestation({
      replica,
      epoch: Epoch(1),
      seq,
      chain: CHAIN,
      state,
      durable: how === undefined,
    }),
  }))
}

/** A replica that fetches, and the peers that it asks; `distort` is what becomes of their answers. */
class Fetching {
  readonly transfer = new Transfer({
    from: 1,
    replica: r2,
    roster,
    build: new Build(new Map()),
    holding: { votes: 2, holders: 2, coding: undefined },
    staged: [],
  })
  readonly stage = new Stage()
  readonly asked: Array<TransferRequest & { readonly to: ReplicaId }> = []
  readonly #peers: ReadonlyMap<ReplicaId, Library>
  readonly #distort: (from: ReplicaId, answer: TransferAnswer) => ReadonlyArray<TransferAnswer>

  constructor(
    peers: ReadonlyMap<ReplicaId, Library>,
    distort: (from: ReplicaId, answer: TransferAnswer) => ReadonlyArray<TransferAnswer> = (_, answer) => [
      answer,
    ],
  ) {
    this.#peers = peers
    this.#distort = distort
  }

  /** Ticks until the checkpoint is there, or for so long. */
  run(ticks: number): ReadonlyMap<string, Uint8Array> | undefined {
    for (let left = ticks; left > 0 && this.transfer.complete === undefined; left--)
      this.#ask(this.transfer.tick())
    const complete = this.transfer.complete
    return complete && this.stage.take(complete)
  }

  #ask(asks: ReadonlyArray<Asked>): void {
    const queue = [...asks]
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      this.asked.push({ ...next.request, to: next.to })
      const library = this.#peers.get(next.to)
      for (const right of library === undefined ? [] : answersTo(library, next.request))
        for (const answer of this.#distort(next.to, right)) {
          const { staged, asks: more } = this.transfer.answered(next.to, answer)
          if (staged !== undefined) this.stage.add(staged)
          queue.push(...more)
        }
    }
  }
}

describe("a replica that fetches a checkpoint", () => {
  const rows = rowsOf(500, "row")
  const library = new Shelves().add(7, rows)

  it("gets all rows from a peer, once f+1 replicas attest the checkpoint", () => {
    const fetching = new Fetching(new Map([[r0, library]]))
    fetching.transfer.read(attested(library, 7, [r0]))
    expect(fetching.run(10)).toBeUndefined()
    expect(fetching.asked).toEqual([])
    fetching.transfer.read(attested(library, 7, [r1]))
    expect(fetching.run(10)).toEqual(rows)
  })

  it("gets a row that no message can hold, piece by piece, and goes on where an answer broke off", () => {
    const large = new Map([...rows, ["actor\0T\0large", Buffer.alloc(9_000_000, "x")]])
    const holder = new Shelves().add(7, large)
    let pieces = 0
    const fetching = new Fetching(new Map([[r0, holder]]), (_, answer) => {
      if (answer._tag === "Piece" && answer.parts > 1) pieces++
      return [answer]
    })
    fetching.transfer.read(attested(holder, 7, [r0, r1]))
    expect(fetching.run(10)).toEqual(large)
    expect(pieces).toBe(Math.ceil(9_000_000 / (256 * 1024)))
  })

  it("asks another peer where one has no such checkpoint, sends nothing, or lies", () => {
    const forged = new Shelves().add(7, rowsOf(500, "forged"))
    const damaging = (from: ReplicaId, answer: TransferAnswer): ReadonlyArray<TransferAnswer> =>
      from === r0 && answer._tag === "Piece"
        ? [{ ...answer, bytes: Buffer.from(answer.bytes).fill(1) }]
        : [answer]
    const garbage = (from: ReplicaId, answer: TransferAnswer): ReadonlyArray<TransferAnswer> =>
      from === r0 && answer._tag === "Piece" ? [{ ...answer, bytes: Buffer.from([0xff]) }] : [answer]
    const silent = (from: ReplicaId, answer: TransferAnswer): ReadonlyArray<TransferAnswer> =>
      from === r0 && answer._tag === "Piece" ? [] : [answer]
    for (const [peer, distort] of [
      [new Shelves(), undefined],
      [forged, undefined],
      [library, damaging],
      [library, garbage],
      [library, silent],
    ] as const) {
      const peers = new Map<ReplicaId, Library>([
        [r0, peer],
        [r1, library],
      ])
      const fetching = new Fetching(peers, distort)
      fetching.transfer.read(attested(library, 7, [r0, r1]))
      expect(fetching.run(20)).toEqual(rows)
    }
  })

  it("does not fetch again what it has, when the checkpoint that it wants is another one", () => {
    const changed = new Map([...rows, ["actor\0T\0new", Buffer.from("new")]])
    const both = new Shelves().add(7, rows).add(9, changed)
    let dropped = 0
    const fetching = new Fetching(new Map([[r0, both]]), (_, answer) =>
      answer._tag === "Piece" && answer.seq === 7 && ++dropped > 400 ? [] : [answer],
    )
    fetching.transfer.read(attested(both, 7, [r0, r1]))
    expect(fetching.run(3)).toBeUndefined()
    fetching.transfer.read(attested(both, 9, [r0, r1]))
    expect(fetching.run(40)).toEqual(changed)
    const second = fetching.asked.filter((asked) => asked._tag === "Pieces" && asked.seq === 9)
    const wanted = second.flatMap((asked) => (asked._tag === "Pieces" ? asked.wanted : []))
    expect(new Set(wanted.map(({ index }) => index)).size).toBeLessThan(200)
  })

  it("does not take a checkpoint after which the log does not go on", () => {
    const fetching = new Fetching(new Map([[r0, library]]))
    fetching.transfer.read(attested(library, 7, [r0, r1]))
    fetching.transfer.attached(20, roster, undefined)
    expect(fetching.run(20)).toBeUndefined()
    // what replicas attest later is taken, although too few of them hold it yet
    const later = new Shelves().add(25, rows)
    const again = new Fetching(new Map([[r0, later]]))
    again.transfer.attached(20, roster, undefined)
    again.transfer.read(attested(library, 7, [r0, r1]))
    again.transfer.read(attested(later, 25, [r0, r1], "not durable"))
    expect(again.run(20)).toEqual(rows)
  })

  it.each([
    ["counts up to where the next one was stated", 2, 10, true],
    ["does not count from there on", 2, 9, false],
    ["does not count where nobody knows where that was", 2, undefined, false],
    ["does not count where the log no longer holds that: others may have voted where it begins", 2, 6, false],
    ["does not count where another one came between", 3, 10, false],
  ])("begins with the copied roster; the one before, which it knows, %s", (_, epoch, since, counts) => {
    const fetching = new Fetching(new Map([[r0, library]]))
    const next = { epoch: Epoch(epoch), voters: [r2], standbys: [r0] }
    fetching.transfer.attached(7, next, since)
    fetching.transfer.read(attested(library, 7, [r0, r1])) // the second one is entry 9
    expect(fetching.run(20)).toEqual(counts ? rows : undefined)
  })
})
