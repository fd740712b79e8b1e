import { defineAll } from "@lockstep/actor"
import {
  type Attestation,
  BatchWriter,
  bucketDigest,
  bucketOf,
  ClientId,
  decodeEnvelope,
  digest,
  encodeAttestation,
  encodeOpening,
  encodeReconfiguration,
  encodeShared,
  type Entry,
  Epoch,
  genesis,
  genesisRoster,
  GroupName,
  OPERATOR,
  Partition,
  ReplicaId,
  type Roster,
  SessionId,
} from "@lockstep/core"
import {
  encodeHeader,
  erasureCoded,
  type ReplicaInput,
  type ReplicaOptions,
  type ReplicaOutput,
  type ReplicaProtocol,
  stateMachine,
} from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { encodeBucket } from "../../src/bucket.ts"
import { Checkpointer } from "../../src/state-machine/checkpoint.ts"
import { Shards } from "../../src/state-machine/shards.ts"
import { Counter } from "../counter.ts"

const client = ClientId("someone")
const [r0, r1, r2, r3] = [ReplicaId("r0"), ReplicaId("r1"), ReplicaId("r2"), ReplicaId("r3")]
const first = genesisRoster([r0, r1, r2])
const coding = { data: 2, parity: 1 }
const coded = stateMachine({ faults: 1, faultModel: "byzantine", checkpoints: erasureCoded(coding) })

function replica(more: Partial<ReplicaOptions> = {}): ReplicaProtocol {
  return coded.replica({
    group: GroupName("group"),
    partition: Partition(0),
    roster: first,
    logId: "log",
    replica: r0,
    definitions: defineAll([Counter]),
    determinism: "guarded",
    checkpointEveryBatches: 1,
    ...more,
  })
}

function attach(
  protocol: ReplicaProtocol,
  more: Partial<ReplicaInput & { _tag: "Attached" }> = {},
): ReadonlyArray<ReplicaOutput> {
  return protocol.step({ _tag: "Attached", logId: "log", firstSeq: 1, lastSeq: 0, nowMs: 0, ...more })
}

function read(protocol: ReplicaProtocol, ...entries: ReadonlyArray<Entry>): ReadonlyArray<ReplicaOutput> {
  return protocol.step({ _tag: "Entries", entries })
}

/** So many ticks, half a second apart. */
function ticks(protocol: ReplicaProtocol, count: number): ReadonlyArray<ReplicaOutput> {
  return Array.from({ length: count }, (_, i) => protocol.step({ _tag: "Tick", nowMs: i * 500 })).flat()
}

function entry(seq: number, payload: Uint8Array, source = `client.${client}`): Entry {
  return { seq, timeNs: BigInt(seq), source, payload }
}

function batch(number: number): Uint8Array {
  const writer = new BatchWriter()
  writer.add("Counter", "add", "a", encodeShared([1]), undefined)
  return writer.seal({ client, session: SessionId(1), number, settledBelow: 0 })
}

function attestations(outputs: ReadonlyArray<ReplicaOutput>): ReadonlyArray<Attestation> {
  return outputs
    .filter((output) => output._tag === "Attest")
    .map(({ bytes }) => decodeEnvelope(bytes))
    .filter((envelope) => envelope._tag === "Attestation")
}

/** Where a checkpoint is taken. */
function position(seq: number, roster: Roster, versions: ReadonlyMap<string, number> = new Map()) {
  const schema = { number: 0, versions }
  return { seq, chain: digest("chain"), chainBefore: genesis("log"), timeNs: 1n, roster, schema, since: 0 }
}

describe("shards of replicas whose place has changed", () => {
  it("are never said to be held of a checkpoint that the replica had no shard of", () => {
    const second: Roster = { epoch: Epoch(2), voters: [r0, r1, r3], standbys: [] }
    const protocol = replica({ replica: r3 })
    attach(protocol)
    const outputs = read(protocol, entry(1, encodeOpening({ client, number: 0 })), entry(2, batch(1)))
    const kept = outputs.filter((output) => output._tag === "Persist")
    expect(kept.map(({ changes }) => changes.rows.size)).toEqual([0]) // it is no voter: it keeps no shard
    // the roster changes while the disk writes
    read(protocol, entry(3, encodeReconfiguration(second), OPERATOR))
    const said = attestations([...protocol.step({ _tag: "Persisted", seq: 2 }), ...ticks(protocol, 8)])
    expect(said.filter(({ seq, durable }) => seq === 2 && durable)).toEqual([])
  })

  it("are fetched by replicas that all start again after the second change of voters, with the certificate of the epoch between", () => {
    const second: Roster = { epoch: Epoch(2), voters: [r0, r1, r3], standbys: [r2] }
    const third: Roster = { epoch: Epoch(3), voters: [r0, r1, r3], standbys: [] }
    const at = position(100, second, new Map([["Counter", 1]]))
    const header = encodeHeader({ ...at, root: digest("root") })
    const word = (who: ReplicaId, seq: number): Entry => {
      const { chain } = at
      const said = { replica: who, epoch: Epoch(2), seq: 100, chain, state: digest(header), durable: true }
      return entry(seq, encodeAttestation(said), `replica.${who}`)
    }
    const requests = (known: Roster): ReadonlyArray<ReplicaOutput> => {
      const protocol = replica({ roster: known, shardOf: header })
      const outputs = [
        ...attach(protocol, { firstSeq: 100, lastSeq: 104, roster: third, rosterSince: 104 }),
        ...read(
          protocol,
          entry(100, batch(7)),
          word(r0, 101),
          word(r1, 102),
          word(r3, 103),
          entry(104, encodeReconfiguration(third), OPERATOR),
        ),
        ...ticks(protocol, 40),
      ]
      return outputs.filter(({ _tag }) => _tag === "Request")
    }
    expect(requests(second)).not.toEqual([]) // the group was made in the epoch before
    expect(requests(first)).not.toEqual([]) // the header on the disk names that epoch all the same
  })

  it("are kept for the place that a replica has since it started again, and no older one in front of them", () => {
    const second: Roster = { epoch: Epoch(2), voters: [r3, r0, r1], standbys: [] }
    const id = "actor\0T\0a"
    const index = bucketOf(id)
    const rowsOf = (text: string) => new Map([[id, Buffer.from(text)]])
    const sent = [r0, r1, r3].map((name) => {
      const disk = new Map<string, Uint8Array>()
      const write = (rows: ReadonlyMap<string, Uint8Array | undefined>): void => {
        for (const [row, bytes] of rows) {
          if (bytes === undefined) disk.delete(row)
          else disk.set(row, bytes)
        }
      }
      // first life: a checkpoint in the first roster
      write(new Shards(coding).take(rowsOf("old"), first.voters.indexOf(name)))
      // second life: it has fetched a checkpoint that was taken in the second roster
      const reference = new Checkpointer()
      reference.gather({ actors: [{ type: "T", key: "a", bytes: Buffer.from("new") }] })
      const { header } = reference.take(position(20, second), -1)
      const checkpoint = { header, rows: [...rowsOf("new")] }
      const checkpointer = new Checkpointer(coding)
      checkpointer.restore(checkpoint, () => undefined)
      write(checkpointer.keep(checkpoint, second.voters.indexOf(name))?.rows ?? new Map())
      return encodeBucket(disk)
    })
    // all disks are whole: any two of them restore it
    const wanted = bucketDigest(rowsOf("new"))
    for (const lost of [0, 1, 2])
      expect(new Shards(coding).restoreBucket(index, wanted, sent.toSpliced(lost, 1))).toEqual(rowsOf("new"))
    expect(new Shards(coding).restoreBucket(index, wanted, sent)).toEqual(rowsOf("new"))
  })
})
