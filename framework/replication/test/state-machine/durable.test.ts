import { defineAll } from "@lockstep/actor"
import {
  BatchWriter,
  ClientId,
  decodeEnvelope,
  encodeShared,
  encodeOpening,
  encodeReconfiguration,
  type Entry,
  Epoch,
  genesisRoster,
  GroupName,
  OPERATOR,
  Partition,
  ReplicaId,
  SessionId,
} from "@lockstep/core"
import {
  erasureCoded,
  type ReplicaOptions,
  type ReplicaOutput,
  type ReplicaProtocol,
  type ReplicationMode,
  stateMachine,
} from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { byzantine, Counter } from "../counter.ts"

const client = ClientId("someone")
const voters = ["r0", "r1", "r2"].map(ReplicaId)
const roster = genesisRoster(voters)
const coded = stateMachine({
  faults: 1,
  faultModel: "byzantine",
  checkpoints: erasureCoded({ data: 2, parity: 1 }),
})

function replica(mode: ReplicationMode, more: Partial<ReplicaOptions> = {}): ReplicaProtocol {
  return mode.replica({
    group: GroupName("group"),
    partition: Partition(0),
    roster,
    logId: "log",
    replica: ReplicaId("r0"),
    definitions: defineAll([Counter]),
    determinism: "guarded",
    checkpointEveryBatches: 1,
    ...more,
  })
}

function entry(seq: number, payload: Uint8Array, source = `client.${client}`): Entry {
  return { seq, timeNs: BigInt(seq), source, payload }
}

function batch(): Uint8Array {
  const writer = new BatchWriter()
  writer.add("Counter", "add", "a", encodeShared([1]), undefined)
  return writer.seal({ client, session: SessionId(1), number: 1, settledBelow: 0 })
}

/** A checkpoint after entry 2, as peers with whole copies have it. */
function checkpoint() {
  const entries = [entry(1, encodeOpening({ client, number: 0 })), entry(2, batch())]
  const outputs = step(replica(byzantine), entries)
  const kept = outputs.find((output) => output._tag === "Persist")
  if (kept === undefined) throw new Error("a checkpoint was due")
  const rows = [...kept.changes.rows].flatMap(([id, bytes]) =>
    bytes === undefined ? [] : [[id, bytes] as const],
  )
  return { header: kept.changes.header, rows: new Map(rows) }
}

function step(protocol: ReplicaProtocol, entries: ReadonlyArray<Entry>): ReadonlyArray<ReplicaOutput> {
  protocol.step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 0, nowMs: 0 })
  return protocol.step({ _tag: "Entries", entries })
}

/** Whether a replica that begins with the checkpoint says that it is on its disk, once others vote and it attests it again. */
function claims(mode: ReplicationMode, more: Partial<ReplicaOptions>, kept: "kept" | "not kept"): boolean {
  const restored = replica(mode, { restore: checkpoint(), ...more })
  const next = encodeReconfiguration({ ...roster, epoch: Epoch(2) })
  step(restored, [entry(2, batch()), entry(3, next, OPERATOR)])
  const told = kept === "kept" ? restored.step({ _tag: "Persisted", seq: 2 }) : []
  const ticks = [1, 2, 3, 4].flatMap((nowMs) => restored.step({ _tag: "Tick", nowMs }))
  const attested = [...told, ...ticks].flatMap((output) => (output._tag === "Attest" ? [output.bytes] : []))
  const envelope = decodeEnvelope(attested.at(-1) ?? Buffer.alloc(0))
  if (envelope._tag !== "Attestation") throw new Error("it attests the checkpoint")
  return envelope.durable
}

describe("a replica that began with a checkpoint", () => {
  const shelf = { read: () => undefined, rows: () => [] }

  it("says that it is on its disk where it is", () => {
    expect(claims(byzantine, { shelf }, "not kept")).toBe(true)
  })

  it("does not say so without a disk, nor before its shards of it are there", () => {
    expect(claims(byzantine, {}, "not kept")).toBe(false)
    expect(claims(coded, { shelf }, "not kept")).toBe(false)
    expect(claims(coded, { shelf }, "kept")).toBe(true)
  })
})
