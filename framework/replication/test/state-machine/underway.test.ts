import { defineAll } from "@lockstep/actor"
import {
  BatchWriter,
  ClientId,
  type Digest,
  digest,
  encodeShared,
  encodeAttestation,
  encodeOpening,
  encodeUpgrade,
  type Entry,
  Epoch,
  genesisRoster,
  GroupName,
  OPERATOR,
  Partition,
  ReplicaId,
  SessionId,
} from "@lockstep/core"
import type { ReplicaOptions, ReplicaOutput, ReplicaProtocol } from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { byzantine, Counter } from "../counter.ts"

const client = ClientId("someone")
const ACTORS = 10

const OPTIONS = {
  group: GroupName("group"),
  partition: Partition(0),
  roster: genesisRoster(["r0", "r1", "r2"].map(ReplicaId)),
  logId: "log",
  replica: ReplicaId("r0"),
  definitions: defineAll([Counter]),
  determinism: "guarded",
} as const

/** A replica that takes so many rows of a checkpoint at a time. One is due after every second batch, or so many. */
function replica(
  checkpointRows?: number,
  checkpointEveryBatches = 2,
  more: Partial<ReplicaOptions> = {},
): ReplicaProtocol {
  const protocol = byzantine.replica({
    ...OPTIONS,
    checkpointEveryBatches,
    ...(checkpointRows !== undefined && { checkpointRows }),
    ...more,
  })
  protocol.step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 0, nowMs: 0 })
  read(protocol, entry(1, encodeOpening({ client, number: 0 })))
  return protocol
}

function entry(seq: number, payload: Uint8Array, source = `client.${client}`): Entry {
  return { seq, timeNs: BigInt(seq), source, payload }
}

/** A command for each of so many actors. */
function batch(seq: number, actors = ACTORS): Entry {
  const writer = new BatchWriter()
  for (let i = 0; i < actors; i++) writer.add("Counter", "add", `key ${i}`, encodeShared([1]), undefined)
  const number = 1 + (seq - 2) * ACTORS
  return entry(seq, writer.seal({ client, session: SessionId(1), number, settledBelow: 0 }))
}

function read(protocol: ReplicaProtocol, ...entries: ReadonlyArray<Entry>): ReadonlyArray<ReplicaOutput> {
  return protocol.step({ _tag: "Entries", entries })
}

function goOn(protocol: ReplicaProtocol): ReadonlyArray<ReplicaOutput> {
  return protocol.step({ _tag: "Continue" })
}

const tags = (outputs: ReadonlyArray<ReplicaOutput>): ReadonlyArray<string> =>
  outputs.map(({ _tag }) => _tag).filter((tag) => tag !== "Send")

const kept = (outputs: ReadonlyArray<ReplicaOutput>) =>
  outputs.flatMap((output) => (output._tag === "Persist" ? [output.changes] : []))

/** Entries with a command for each actor. */
const batches = (from: number, to: number): ReadonlyArray<Entry> =>
  Array.from({ length: to - from + 1 }, (_, i) => batch(from + i))

/** What a replica that takes it at once says of a checkpoint after five batches. */
function atOnce() {
  const [changes] = kept(read(replica(undefined, 5), ...batches(2, 6)))
  if (changes === undefined) throw new Error("a checkpoint was due")
  return changes
}

describe("a checkpoint of more rows than are taken at a time", () => {
  it("is taken while commands go on, and is the one of its position", () => {
    const protocol = replica(3, 5)
    expect(tags(read(protocol, ...batches(2, 6)))).toEqual(["Continue"])
    // one that is under way does not hold back votes, and time is asked for once
    expect(read(protocol, batch(7, 1)).map(({ _tag }) => _tag)).toEqual(["Send"])
    expect(tags(goOn(protocol))).toEqual(["Continue"])
    const last = goOn(protocol)
    expect(tags(last)).toEqual(["Persist", "Attest"])
    const [changes] = kept(last)
    const { seq, state, rows } = atOnce()
    expect(changes).toMatchObject({ seq, state })
    expect(changes?.rows).toEqual(rows)
    expect(goOn(protocol)).toEqual([])
  })

  it("is complete before the next one is due, although hardly anything is called", () => {
    const protocol = replica(1, 5)
    read(protocol, ...batches(2, 6))
    // ten rows, one of which was taken at once: two with each of five batches
    const outputs = [7, 8, 9, 10, 11].map((seq) => tags(read(protocol, batch(seq, 1))))
    expect(outputs).toEqual([[], [], [], [], ["Persist", "Attest", "Persist", "Attest"]])
  })

  /** The attestations of two others, as the next entries of the log. */
  function attested(by: ReplicaProtocol, seq: number, state: Digest): ReadonlyArray<Entry> {
    const { chain } = by.status
    return ["r1", "r2"].map((name, i) => {
      const said = { replica: ReplicaId(name), epoch: Epoch(1), seq, chain, state, durable: true }
      return entry(seq + 1 + i, encodeAttestation(said), `replica.${name}`)
    })
  }

  it("is compared with what others attested of it before it was complete", () => {
    const { seq, state } = atOnce()
    const onProbation = replica(4, 5, { probation: "open" })
    read(onProbation, ...batches(2, seq))
    expect(tags(read(onProbation, ...attested(onProbation, seq, state)))).not.toContain("Trusted")
    expect(tags(goOn(onProbation))).toEqual(["Continue"])
    expect(tags(goOn(onProbation))).toEqual(["Persist", "Trusted"])
    const wrong = replica(9, 5)
    read(wrong, ...batches(2, seq))
    read(wrong, ...attested(wrong, seq, digest("another state")))
    const outputs = goOn(wrong)
    expect(tags(outputs)).toEqual(["Persist", "Attest", "Rejoin"])
    expect(outputs.at(-1)).toMatchObject({ report: { reason: "state-diverged" } })
    // it votes on nothing more
    expect(read(wrong, batch(seq + 3))).toEqual([])
  })

  it("is taken at once at an upgrade, after which nothing may come", () => {
    const protocol = replica(1)
    const upgrade = (seq: number, number: number, version: number): Entry =>
      entry(seq, encodeUpgrade({ number, versions: new Map([["Counter", version]]) }), OPERATOR)
    read(protocol, upgrade(2, 1, 1), batch(3), batch(4))
    const outputs = read(protocol, upgrade(5, 2, 2))
    expect(kept(outputs).map(({ seq }) => seq)).toEqual([4, 5])
  })
})

describe("a checkpoint that is due because of the bytes of batches", () => {
  const size = batch(2).payload.length

  it("is taken at the entry with which there are as many, however few batches they are", () => {
    const protocol = replica(undefined, 1000, { checkpointEveryBytes: 3 * size })
    expect(kept(read(protocol, ...batches(2, 9))).map(({ seq }) => seq)).toEqual([4, 7])
    const almost = replica(undefined, 1000, { checkpointEveryBytes: 3 * size + 1 })
    expect(kept(read(almost, ...batches(2, 9))).map(({ seq }) => seq)).toEqual([5, 9])
  })

  it("is not due where there was another one meanwhile", () => {
    const protocol = replica(undefined, 2, { checkpointEveryBytes: 3 * size })
    expect(kept(read(protocol, ...batches(2, 9))).map(({ seq }) => seq)).toEqual([3, 5, 7, 9])
  })

  it("is counted by a replica that begins at a checkpoint as by one that was there before", () => {
    const options = { checkpointEveryBytes: 3 * size }
    const [first] = kept(read(replica(undefined, 1000, options), ...batches(2, 4)))
    if (first === undefined) throw new Error("a checkpoint was due")
    const restore = {
      header: first.header,
      rows: [...first.rows].map(([id, bytes]) => [id, bytes ?? Buffer.of()] as const),
    }
    const later = byzantine.replica({ ...OPTIONS, checkpointEveryBatches: 1000, ...options, restore })
    later.step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 4, nowMs: 0 })
    expect(kept(read(later, ...batches(4, 9))).map(({ seq }) => seq)).toEqual([7])
  })

  it("is complete before the next one is due, although hardly anything is called", () => {
    const protocol = replica(1, 1000, { checkpointEveryBytes: 3 * size })
    read(protocol, ...batches(2, 4))
    const small = batch(5, 1).payload.length
    const untilDue = Math.ceil((3 * size) / small)
    const outputs = Array.from({ length: untilDue }, (_, i) => read(protocol, batch(5 + i, 1)))
    expect(kept(outputs.flat()).map(({ seq }) => seq)).toEqual([4, 4 + untilDue])
  })
})
