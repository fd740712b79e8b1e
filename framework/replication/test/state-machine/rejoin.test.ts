import { defineAll } from "@lockstep/actor"
import {
  digest,
  encodePeerReport,
  type Entry,
  Epoch,
  genesisRoster,
  GroupName,
  Partition,
  ReplicaId,
} from "@lockstep/core"
import type { Probation, ReplicaOutput, ReplicaProtocol } from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { byzantine, Counter } from "../counter.ts"

const [r0, r1, r2] = ["r0", "r1", "r2"].map(ReplicaId) as [ReplicaId, ReplicaId, ReplicaId] // three of them
const NO_UPGRADE = { number: 0, versions: new Map<string, number>() }
const group = GroupName("group")
const partition = Partition(0)

/** r0, which has executed three entries. */
function replica(probation?: Probation): ReplicaProtocol {
  const protocol = byzantine.replica({
    group,
    partition,
    replica: r0,
    roster: genesisRoster([r0, r1, r2]),
    logId: "log",
    definitions: defineAll([Counter]),
    determinism: "guarded",
    checkpointEveryBatches: 1,
    ...(probation && { probation }),
  })
  attach(protocol, 3)
  read(protocol, 1, 2, 3)
  return protocol
}

function attach(protocol: ReplicaProtocol, lastSeq: number, logId = "log"): ReadonlyArray<ReplicaOutput> {
  return protocol.step({ _tag: "Attached", logId, firstSeq: 1, lastSeq, nowMs: 0 })
}

function entry(seq: number, text = `entry ${seq}`): Entry {
  return { seq, timeNs: BigInt(seq), source: "client.x", payload: Buffer.from(text) }
}

function read(protocol: ReplicaProtocol, ...seqs: ReadonlyArray<number>): ReadonlyArray<ReplicaOutput> {
  return protocol.step({ _tag: "Entries", entries: seqs.map((seq) => entry(seq)) })
}

/** A log that shows entry 3 otherwise than it was. */
function readRewritten(protocol: ReplicaProtocol): ReadonlyArray<ReplicaOutput> {
  attach(protocol, 3)
  return protocol.step({ _tag: "Entries", entries: [entry(3, "another entry")] })
}

/** A peer says how far it has executed. */
function report(protocol: ReplicaProtocol, from: ReplicaId, seq: number): ReadonlyArray<ReplicaOutput> {
  const told = {
    group,
    epoch: Epoch(1),
    partition,
    replica: from,
    seq,
    chain: digest("theirs"),
    schema: NO_UPGRADE,
  }
  return protocol.step({ _tag: "Peer", from, bytes: encodePeerReport(told) })
}

function tags(outputs: ReadonlyArray<ReplicaOutput>): ReadonlyArray<string> {
  return outputs.map(({ _tag }) => _tag)
}

/** r0, after two servers have shown it a log that is not what it was. */
function halted(): ReplicaProtocol {
  const protocol = replica()
  readRewritten(protocol)
  readRewritten(protocol)
  expect(protocol.status.halted?.reason).toBe("log-rewritten")
  return protocol
}

describe("a replica whose log is not what it was", () => {
  it("complains, and goes on where another server shows it whole", () => {
    const protocol = replica()
    const [complaint] = readRewritten(protocol)
    expect(complaint).toMatchObject({ _tag: "Reattach", complaint: { reason: "log-rewritten", applied: 3 } })
    attach(protocol, 4)
    expect(read(protocol, 3, 4)).toEqual([])
    expect(protocol.status).toMatchObject({ applied: 4, halted: undefined })
    expect(tags(readRewritten(protocol))).toEqual(["Reattach"])
  })

  it("halts where another server shows the same", () => {
    const protocol = replica()
    readRewritten(protocol)
    expect(tags(readRewritten(protocol))).toEqual(["Halt"])
    expect(read(protocol, 4)).toEqual([])
  })

  it("begins anew when f+1 voters go on where it halted, and not before", () => {
    const protocol = halted()
    expect(report(protocol, r1, 3)).toEqual([])
    expect(report(protocol, r1, 9)).toEqual([])
    expect(report(protocol, r1, 10)).toEqual([])
    expect(report(protocol, ReplicaId("stranger"), 10)).toEqual([])
    expect(report(protocol, r0, 10)).toEqual([])
    const [rejoin] = report(protocol, r2, 4)
    expect(rejoin).toMatchObject({ _tag: "Rejoin", report: { reason: "log-rewritten", applied: 3 } })
    expect(report(protocol, r2, 5)).toEqual([])
  })

  it("does not begin anew for those who said how far they were before it halted", () => {
    const protocol = replica()
    report(protocol, r1, 9)
    report(protocol, r2, 9)
    readRewritten(protocol)
    expect(tags(readRewritten(protocol))).toEqual(["Halt"])
    expect(report(protocol, r1, 10)).toEqual([])
  })

  it("stays halted where the whole log is another one, whatever others say", () => {
    const protocol = replica()
    expect(tags(attach(protocol, 3, "another log"))).toEqual(["Halt"])
    expect([...report(protocol, r1, 9), ...report(protocol, r2, 9)]).toEqual([])
  })

  it("halts for good the second time, on probation and after it", () => {
    for (const probation of ["open", "passed"] as const) {
      const protocol = replica(probation)
      readRewritten(protocol)
      expect(tags(readRewritten(protocol))).toEqual(["Halt"])
      expect([...report(protocol, r1, 9), ...report(protocol, r2, 9)]).toEqual([])
    }
  })
})
