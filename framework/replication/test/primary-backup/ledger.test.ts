import { ClientId, digest, genesisRoster, GroupName, Partition, ReplicaId, SessionId } from "@lockstep/core"
import {
  encodeRecord,
  type JournalRecord,
  type ReplicaOptions,
  type ReplicaOutput,
} from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { Ledger } from "../../src/primary-backup/ledger.ts"
import { Reigns } from "../../src/primary-backup/reigns.ts"
import { actorId } from "../../src/row.ts"

const roster = genesisRoster([ReplicaId("r0")])
const reigns = new Reigns(
  {
    replication: "asynchronous",
    replicas: 1,
    inSyncMin: 1,
    acknowledgements: 0,
    below: "refuse",
    leaseMs: 1000,
    clockErrorMs: 100,
    backupTimeoutMs: 500,
  },
  roster,
)
const log = { seq: 1, chain: digest(""), chainBefore: digest(""), timeNs: 1n }

const KEYS = ["a", "b", "c"]
const [a = "", b = ""] = KEYS.map((key) => actorId("Counter", key))

/** What a master of this epoch makes at a position. */
function recordOf(position: number, epoch: number, count: number, bytes: Uint8Array): JournalRecord {
  return {
    position,
    epoch,
    client: ClientId("c"),
    session: SessionId(1),
    number: position,
    count,
    settledBelow: 0,
    traces: [],
    outcomes: Buffer.of(0),
    rows: KEYS.map((key) => ({ type: "Counter", key, id: actorId("Counter", key), bytes })),
  }
}

/** A ledger with a shelf that counts how often a row of it was read. */
function opened(options: Partial<ReplicaOptions> = {}) {
  const rows = new Map<string, Uint8Array>()
  let reads = 0
  const read = (wanted: string): Uint8Array | undefined => {
    reads++
    return rows.get(wanted)
  }
  const ledger = new Ledger({
    group: GroupName("g"),
    partition: Partition(0),
    logId: "log",
    roster,
    replica: ReplicaId("r0"),
    definitions: new Map(),
    determinism: "guarded",
    checkpointEveryBatches: 1000,
    shelf: { read, rows: () => rows },
    ...options,
  })
  let position = 0
  return {
    ledger,
    reads: () => reads,
    /** Commits a record of so many commands, which left this behind of each actor. */
    commit: (count: number, bytes: Uint8Array) => {
      position++
      const record = recordOf(position, 1, count, bytes)
      ledger.append([{ record, bytes: encodeRecord(record) }])
      return [...ledger.commit(position)]
    },
    /** Takes a checkpoint, and keeps it. */
    checkpoint: () => {
      ledger.wantsCheckpoint = true
      const changes = ledger.checkpoint(log, reigns)
      for (const [row, bytes] of changes?.rows ?? []) if (bytes !== undefined) rows.set(row, bytes)
      ledger.persisted(position)
    },
  }
}

describe("records that were let go of, when the process ends before the journal has said so", () => {
  const written = (position: number, epoch: number) => {
    const record = recordOf(position, epoch, 1, Buffer.of(position))
    return { record, bytes: encodeRecord(record) }
  }

  it("are not taken for ones that follow on a checkpoint: none is taken before they are gone", () => {
    const { ledger, commit } = opened()
    commit(1, Buffer.of(1))
    ledger.append([written(2, 1)])
    const { write } = ledger.truncate(1) as ReplicaOutput & { readonly _tag: "Journal" } // it writes down that they are gone
    ledger.append([written(2, 2)])
    for (const _ of ledger.commit(2)) void _
    ledger.wantsCheckpoint = true
    expect(ledger.checkpoint(log, reigns)).toBeUndefined()
    ledger.journaled(write)
    expect(ledger.checkpoint(log, reigns)).toMatchObject({ seq: 2 })
  })

  it("are left out where an earlier master made them than the one of the record before", () => {
    const journal = [written(1, 1), written(2, 3), written(3, 2)].map(({ bytes }) => bytes)
    const { ledger } = opened({ journal })
    ledger.restore(undefined, reigns)
    expect([ledger.history.last, ledger.history.lastEpoch]).toEqual([2, 3])
  })
})

describe("a checkpoint of what a replica holds", () => {
  it("is taken a part at a time, and is of the moment when it was begun, whatever is committed meanwhile", () => {
    const [atOnce, inParts] = [opened(), opened({ checkpointRows: 1 })]
    for (const { commit, ledger } of [atOnce, inParts]) {
      commit(1, Buffer.of(1))
      ledger.wantsCheckpoint = true
    }
    const expected = atOnce.ledger.checkpoint(log, reigns)
    expect(expected?.rows.size).toBe(KEYS.length)
    const { ledger, commit } = inParts
    expect(ledger.checkpoint(log, reigns)).toBeUndefined()
    for (let row = 1; row < KEYS.length; row++) {
      expect([ledger.asks(), ledger.asks()]).toEqual([true, false])
      commit(1, Buffer.of(2))
      expect(ledger.checkpoint(log, reigns)).toBeUndefined()
      ledger.proceed()
    }
    expect(ledger.checkpoint(log, reigns)).toEqual(expected)
    expect(ledger.asks()).toBe(false)
    ledger.persisted(1)
    expect(ledger.row(a, "all")).toEqual(Buffer.of(2))
  })

  it("is complete before the next one is due, however little time there is", () => {
    const { ledger, commit } = opened({ checkpointRows: 1, checkpointEveryBatches: 2 })
    commit(1, Buffer.of(1))
    commit(1, Buffer.of(1))
    expect(ledger.checkpoint(log, reigns)).toBeUndefined()
    commit(1, Buffer.of(2))
    commit(1, Buffer.of(2))
    ledger.proceed()
    expect(ledger.checkpoint(log, reigns)).toMatchObject({ seq: 2 })
  })

  it("is complete where somebody looks at the state, and what came later is not in it", () => {
    const { ledger, commit } = opened({ checkpointRows: 1 })
    const twin = opened()
    for (const one of [twin, { ledger, commit }]) {
      one.commit(1, Buffer.of(1))
      one.ledger.wantsCheckpoint = true
    }
    const expected = twin.ledger.checkpoint(log, reigns)
    expect(ledger.checkpoint(log, reigns)).toBeUndefined()
    commit(1, Buffer.of(2))
    twin.commit(1, Buffer.of(2))
    expect(ledger.digest()).toBe(twin.ledger.digest())
    expect(ledger.checkpoint(log, reigns)).toEqual(expected)
  })

  it("is on the disk when an earlier attempt at the same position is", () => {
    const { ledger, commit } = opened({ checkpointRows: 1 })
    commit(1, Buffer.of(1))
    ledger.wantsCheckpoint = true
    expect(ledger.checkpoint(log, reigns)).toBeUndefined()
    ledger.persisted(1)
    expect(ledger.checkpoint(log, reigns)).toMatchObject({ seq: 1 })
    expect(ledger.shelved.position).toBe(1)
  })

  it("is on the disk although another one was taken meanwhile, because that took the disk long", () => {
    const { ledger, commit } = opened()
    for (const position of [1, 2, 3]) {
      commit(1, Buffer.of(position))
      ledger.wantsCheckpoint = true
      expect(ledger.checkpoint(log, reigns)).toMatchObject({ seq: position })
      for (let tick = 0; tick < 40; tick++) ledger.tick()
    }
    expect(ledger.persisted(1)).toEqual([{ _tag: "Trim", below: 1 }])
    expect(ledger.shelved.position).toBe(1)
    expect(ledger.row(a, "all")).toEqual(Buffer.of(3))
    expect(ledger.persisted(3)).toEqual([{ _tag: "Trim", below: 2 }])
    expect(ledger.persisted(2)).toEqual([])
    expect(ledger.shelved.position).toBe(3)
    expect(ledger.history.first).toBe(2)
  })
})

describe("what a replica holds", () => {
  it("is to be in a checkpoint after so many commands, however few records they are in", () => {
    const { ledger, commit } = opened()
    commit(249_999, Buffer.of(1))
    expect(ledger.checkpoint(log, reigns)).toBeUndefined()
    commit(1, Buffer.of(2))
    expect(ledger.checkpoint(log, reigns)).toMatchObject({ seq: 2 })
    commit(1, Buffer.of(3))
    ledger.persisted(2)
    expect(ledger.checkpoint(log, reigns)).toBeUndefined()
  })

  it("is of a committed record only its bytes, to be shipped: nobody asks what is in it", () => {
    const { ledger, commit } = opened()
    expect(commit(1, Buffer.of(1))).toMatchObject([{ record: { position: 1 } }])
    expect(ledger.history.at(1)).toBeUndefined()
    expect(ledger.history.from(1, 1000)).toHaveLength(1)
  })

  it("keeps nothing else in memory, however large the message was that it came in", () => {
    const { ledger, commit, checkpoint } = opened()
    const message = Buffer.alloc(1_000_000, 7)
    commit(1, message.subarray(10, 20))
    checkpoint()
    const row = ledger.row(a, "all")
    expect(row).toEqual(Buffer.alloc(10, 7))
    expect(row?.buffer.byteLength).toBeLessThan(100)
  })

  it("is read from the disk where it was not used lately, and is what the last record left", () => {
    const { ledger, commit, checkpoint, reads } = opened({ actorBytesMax: 10_000 })
    for (const value of [1, 2, 3]) {
      commit(1, Buffer.of(value))
      checkpoint()
      for (const id of [a, b, a, b]) expect(ledger.row(id, "all")).toEqual(Buffer.of(value))
    }
    expect(reads()).toBe(0)
    const { ledger: without, ...other } = opened({ actorBytesMax: 0 })
    other.commit(1, Buffer.of(1))
    other.checkpoint()
    for (const id of [a, b, a, b]) expect(without.row(id, "all")).toEqual(Buffer.of(1))
    expect(other.reads()).toBe(4)
  })
})
