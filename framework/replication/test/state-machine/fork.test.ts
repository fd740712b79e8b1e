import {
  decodePeerReport,
  type Digest,
  digest,
  encodePeerReport,
  Epoch,
  GroupName,
  Partition,
  type PeerReport,
  ReplicaId,
} from "@lockstep/core"
import { describe, expect, it } from "vitest"
import { ForkDetector } from "../../src/state-machine/fork.ts"
import { byzantine, Counter } from "../counter.ts"
import { World } from "../world.ts"

const [r0, r1, r2] = [ReplicaId("r0"), ReplicaId("r1"), ReplicaId("r2")]

/** Three replicas that have executed three entries. */
function world(): World {
  const w = new World(byzantine, [Counter])
  w.call("add", "a", 1)
  w.run()
  w.call("add", "a", 1)
  w.run()
  return w
}

/** What a replica tells its peers when it is asked to tick. */
function told(w: World, name: ReplicaId): Uint8Array {
  const output = w
    .replica(name)
    .step({ _tag: "Tick", nowMs: 1 })
    .find(({ _tag }) => _tag === "Tell")
  if (output?._tag !== "Tell") throw new Error(`${name} told its peers nothing`)
  return output.bytes
}

function hear(w: World, from: ReplicaId, bytes: Uint8Array): void {
  w.toldReplica(r0, w.replica(r0).step({ _tag: "Peer", from, bytes }))
}

/** The same report with another chain. */
function forged(bytes: Uint8Array): Uint8Array {
  const report = decodePeerReport(bytes)
  return encodePeerReport({ ...report, chain: "0".repeat(64) as typeof report.chain })
}

describe("a log that forked between replicas", () => {
  it("is noticed by nobody while all read the same", () => {
    const w = world()
    for (const peer of [r1, r2]) hear(w, peer, told(w, peer))
    expect(w.halts).toEqual([])
  })

  it("makes a replica begin anew that f+1 peers contradict", () => {
    const w = world()
    hear(w, r1, forged(told(w, r1)))
    expect(w.halts).toEqual([])
    hear(w, r2, forged(told(w, r2)))
    expect(w.halts.map(({ report }) => report.reason)).toEqual(["log-forked"])
    expect(w.halts[0]?.report.detail).toMatch(/r1 \(at 3\), r2 \(at 3\)/)
  })

  it("does not halt it for one peer, who may lie, however often it says so", () => {
    const w = world()
    const lie = forged(told(w, r1))
    for (let i = 0; i < 5; i++) hear(w, r1, lie)
    hear(w, r2, told(w, r2))
    expect(w.halts).toEqual([])
  })

  it("is noticed when the replica gets to the position that its peers reported", () => {
    const w = world()
    w.call("add", "a", 1)
    w.run([r1, r2])
    for (const peer of [r1, r2]) hear(w, peer, forged(told(w, peer)))
    expect(w.halts).toEqual([])
    w.read(r0)
    expect(w.halts.map(({ report }) => report.reason)).toEqual(["log-forked"])
    expect(w.replica(r0).status.executed).toBe(2)
  })

  it("is told a peer that reads the other branch, and once more each time that all are told: what was told may be lost", () => {
    const w = world()
    const other = forged(told(w, r1))
    told(w, r0)
    const answers = (): number =>
      w
        .replica(r0)
        .step({ _tag: "Peer", from: r1, bytes: other })
        .filter(({ _tag }) => _tag === "Tell").length
    // two that contradict each other do not go on doing so
    expect([answers(), answers(), answers()]).toEqual([1, 0, 0])
    let ticks = 0
    const tick = () => w.replica(r0).step({ _tag: "Tick", nowMs: ++ticks })
    while (!tick().some(({ _tag }) => _tag === "Tell")) expect(answers()).toBe(0)
    expect([answers(), answers()]).toEqual([1, 0])
  })

  it("is not inferred from reports under a false name, of strangers, or of garbage", () => {
    const w = world()
    const lie = forged(told(w, r1))
    hear(w, r2, lie)
    hear(w, r0, lie)
    hear(w, ReplicaId("mallory"), lie)
    hear(w, r1, Buffer.from("nonsense"))
    hear(w, r1, lie)
    expect(w.halts).toEqual([])
    expect(w.replica(r0).status.malformed).toBe(4)
  })
})

describe("a peer that was wrong once", () => {
  it("and is right since does not count beside another one", () => {
    const fork = new ForkDetector(2)
    const chainAt = (seq: number): Digest => digest(`right ${seq}`)
    const report = (replica: ReplicaId, seq: number, chain: Digest): PeerReport => ({
      group: GroupName("group"),
      epoch: Epoch(1),
      partition: Partition(0),
      replica,
      seq,
      schema: { number: 0, versions: new Map() },
      onProbation: false,
      chain,
    })
    let applied = 0
    const execute = (until: number): void => {
      while (applied < until) {
        applied++
        fork.executed(applied, chainAt(applied))
      }
    }
    execute(50)
    fork.reported(report(r1, 50, digest("wrong")))
    // it has begun anew; this replica lags behind by a little more than the peer executes between two reports
    for (let seq = 100; seq < 10_000; seq += 50) {
      fork.reported(report(r1, seq, chainAt(seq)))
      execute(seq - 60)
    }
    fork.reported(report(r2, applied, digest("wrong, too")))
    expect(fork.verdict).toBeUndefined()
  })
})
