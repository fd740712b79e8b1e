import { defineAll } from "@lockstep/actor"
import {
  decodePeerReport,
  digest,
  encodePeerReport,
  type Entry,
  Epoch,
  genesisRoster,
  GroupName,
  Partition,
  ReplicaId,
} from "@lockstep/core"
import { type Probation, type ReplicaOutput, type ReplicaProtocol, stateMachine } from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { byzantine, Counter } from "../counter.ts"
import { World } from "../world.ts"

const [r0, r1, r2] = ["r0", "r1", "r2"].map(ReplicaId) as [ReplicaId, ReplicaId, ReplicaId] // three of them
const NO_UPGRADE = { number: 0, versions: new Map<string, number>() }
const group = GroupName("group")
const partition = Partition(0)

/** A replica that has read nothing yet. */
function fresh(name: ReplicaId, probation?: Probation): ReplicaProtocol {
  return byzantine.replica({
    group,
    partition,
    replica: name,
    roster: genesisRoster([r0, r1, r2]),
    logId: "log",
    definitions: defineAll([Counter]),
    determinism: "guarded",
    checkpointEveryBatches: 1,
    ...(probation && { probation }),
  })
}

/** r0, which has executed three entries. */
function replica(probation?: Probation): ReplicaProtocol {
  const protocol = fresh(r0, probation)
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
  return show(
    protocol,
    seqs.map((seq) => entry(seq)),
  )
}

function show(protocol: ReplicaProtocol, entries: ReadonlyArray<Entry>): ReadonlyArray<ReplicaOutput> {
  return protocol.step({ _tag: "Entries", entries })
}

/** A log that shows entry 3 otherwise than it was. */
function readRewritten(protocol: ReplicaProtocol): ReadonlyArray<ReplicaOutput> {
  attach(protocol, 3)
  return show(protocol, [entry(3, "another entry")])
}

/** A peer says how far it has executed. */
function report(protocol: ReplicaProtocol, from: ReplicaId, seq: number): ReadonlyArray<ReplicaOutput> {
  const said = {
    group,
    epoch: Epoch(1),
    partition,
    replica: from,
    seq,
    chain: digest("theirs"),
    schema: NO_UPGRADE,
    onProbation: false,
  }
  return hear(protocol, from, encodePeerReport(said))
}

function hear(protocol: ReplicaProtocol, from: ReplicaId, bytes: Uint8Array): ReadonlyArray<ReplicaOutput> {
  return protocol.step({ _tag: "Peer", from, bytes })
}

/** What a replica tells its peers of itself. */
function told(protocol: ReplicaProtocol): Uint8Array {
  const ticks = Array.from({ length: 11 }, () => protocol.step({ _tag: "Tick", nowMs: 1 }))
  const tell = ticks.flat().find((output) => output._tag === "Tell")
  if (tell === undefined) throw new Error("it told its peers nothing")
  return tell.bytes
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

  it("complains once more, where another server has shown it whole meanwhile, though nothing was added to it", () => {
    const protocol = replica()
    readRewritten(protocol)
    attach(protocol, 3)
    read(protocol, 3)
    expect(tags(readRewritten(protocol))).toEqual(["Reattach"])
    // not where that server has more, which it does not show
    attach(protocol, 5)
    read(protocol, 3)
    expect(tags(readRewritten(protocol))).toEqual(["Halt"])
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
    expect(report(protocol, r2, 4)).toEqual([])
    const [rejoin] = report(protocol, r2, 5)
    expect(rejoin).toMatchObject({ _tag: "Rejoin", report: { reason: "log-rewritten", applied: 3 } })
    expect(report(protocol, r2, 6)).toEqual([])
  })

  it("does not begin anew for f+1 voters who were heard once, or go no further: that may have been under way", () => {
    const protocol = halted()
    const outputs = [r1, r2, r1, r2].flatMap((voter) => report(protocol, voter, 9))
    expect(outputs).toEqual([])
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

  it("says while it is on probation that it is, to operators who count on its vote", () => {
    expect(decodePeerReport(told(replica("open"))).onProbation).toBe(true)
    expect(decodePeerReport(told(replica("passed"))).onProbation).toBe(false)
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

describe("replicas that know what the log has lost", () => {
  it("do not all forget it", () => {
    // f+1 of three have executed (and so answered) entries that the log loses: it goes on without them
    const old = Array.from({ length: 10 }, (_, i) => entry(i + 1))
    const next = [...old.slice(0, 8), ...[9, 10, 11, 12, 13].map((seq) => entry(seq, `new ${seq}`))]
    const [a, b, c] = [fresh(r0), fresh(r1), fresh(r2)]
    for (const each of [a, b, c]) attach(each, 10)
    show(a, old.slice(0, 9))
    show(b, old)
    show(c, old.slice(0, 7)) // it is slow
    const before = told(b) // under way, slowly
    const heard: Array<ReplicaOutput> = []
    // two servers show that to r0, which halts
    for (let i = 0; i < 2; i++) {
      attach(a, 12)
      show(a, next.slice(8))
    }
    expect(a.status.halted?.reason).toBe("log-rewritten")
    show(c, next.slice(7))
    heard.push(...hear(a, r1, before), ...hear(a, r2, told(c)))
    expect(heard).toEqual([])
    // r1 notices, and halts as well
    for (let i = 0; i < 2; i++) {
      attach(b, 13)
      show(b, next.slice(9))
    }
    expect(b.status.halted?.reason).toBe("log-rewritten")
    heard.push(...hear(b, r2, told(c)))
    expect(heard).toEqual([])
  })

  it("do not forget it on the word of one other, where they can only crash", () => {
    const w = new World(stateMachine({ faults: 1, faultModel: "crash" }), [Counter])
    w.call("add", "a", 1)
    w.run()
    w.call("add", "a", 1)
    w.flush()
    w.append()
    w.read(r0)
    // the server of r1 shows another entry at the same position
    const last = w.log.at(-1)
    if (last === undefined) throw new Error("the log is empty")
    w.toldReplica(r1, show(w.replica(r1), [{ ...last, timeNs: last.timeNs + 1n }]))
    const [from0, from1] = [told(w.replica(r0)), told(w.replica(r1))]
    w.toldReplica(r0, hear(w.replica(r0), r1, from1))
    w.toldReplica(r1, hear(w.replica(r1), r0, from0))
    expect(w.halts.map(({ does, report: { reason } }) => `${does} ${reason}`)).toEqual([
      "Halt log-forked",
      "Halt log-forked",
    ])
  })
})
