import { Command, defineAll, Replicated } from "@lockstep/actor"
import { ByteWriter, ClientId, digest, GroupName, Partition, ReplicaId, writeReturned } from "@lockstep/core"
import { stateMachine } from "@lockstep/replication"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { NOTICES_PER_SECOND } from "../src/telemetry/afterwards.ts"
import { Executions } from "../src/telemetry/executions.ts"
import { decodeTold, encodeNotice, type NoticedCall } from "../src/telemetry/notice.ts"
import { Replications } from "../src/telemetry/replications.ts"
import { Recorder } from "./recorder.ts"

const mode = stateMachine({ faults: 1, faultModel: "byzantine" })

@Replicated({ name: "test/Box", version: 1, mode })
class Box {
  @Command()
  put(): number {
    return 1
  }
}

const client = ClientId("c0")
const TRACE = "0af7651916cd43dd8448eb211c80319c"
const PARENT = "b7ad6b7169203331"
const call = (of: Partial<NoticedCall> = {}): NoticedCall => ({
  index: 0,
  type: "test/Box",
  member: "put",
  trace: `00-${TRACE}-${PARENT}-01`,
  ...of,
})

/** The bytes of these results. */
function returned(...values: ReadonlyArray<number>): Buffer {
  const writer = new ByteWriter(16)
  for (const value of values) writeReturned(writer, value)
  return writer.take()
}

function replica() {
  const place = { group: GroupName("main"), partition: Partition(0), replica: ReplicaId("r1") }
  const executions = new Executions(
    { mode, definitions: defineAll([Box]), ...place },
    new Replications(place),
  )
  const told: Array<ReturnType<typeof decodeTold>> = []
  return {
    told,
    execute(seq: number, ...results: ReadonlyArray<number>): void {
      executions.batchBegins(seq, Date.now() - 250)
      vi.advanceTimersByTime(40)
      executions.batchEnds(returned(...results), results.length)
    },
    notice(seq: number, ...calls: ReadonlyArray<NoticedCall>): void {
      executions.hear(encodeNotice({ client, seq, calls }), (to, bytes) => {
        expect(to).toBe(client)
        told.push(decodeTold(bytes))
      })
    },
    hear: (bytes: Uint8Array) => executions.hear(bytes, () => told.push(undefined)),
  }
}

let recorder: Recorder
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance", "Date"] })
  recorder = new Recorder()
})
afterEach(() => {
  recorder[Symbol.dispose]()
  vi.useRealTimers()
})

describe("a replica that is told of a dissent", () => {
  it("tells of what it had executed, with the times that it had then, and says where", () => {
    const r1 = replica()
    const startMs = Date.now()
    r1.execute(7, 10, 20, 30)
    vi.advanceTimersByTime(5000)
    r1.notice(7, call({ index: 1 }))
    const [process, apply, ...others] = recorder.spans
    expect(others).toEqual([])
    expect([process?.name, apply?.name]).toEqual(["process cmd.main.0", "apply test/Box/put"])
    expect(process?.parent).toMatchObject({ traceId: TRACE, spanId: PARENT })
    expect(apply?.parent?.spanId).toBe(process?.spanContext().spanId)
    expect(process?.attributes).toMatchObject({
      "lockstep.replica": "r1",
      "lockstep.log.seq": 7,
      "lockstep.output.digest": digest(returned(20)),
    })
    expect(process?.attributes["lockstep.apply.lag"]).toBeCloseTo(0.25, 2)
    for (const span of [process, apply]) {
      expect(span?.times[0]).toBeCloseTo(startMs, -1)
      expect(span?.times[1]).toBeCloseTo(startMs + 40, -1)
    }
    expect(r1.told).toEqual([{ seq: 7, spans: new Map([[1, process?.spanContext().spanId]]) }])
  })

  it("tells of each command once, however often it is asked", () => {
    const r1 = replica()
    r1.execute(7, 10, 20)
    r1.notice(7, call(), call())
    r1.notice(7, call(), call({ index: 1 }))
    expect(recorder.named("process cmd.main.0")).toHaveLength(2)
    expect(r1.told.map((told) => Array.from(told?.spans.keys() ?? []))).toEqual([[0], [1]])
  })

  it("tells of what it has still to execute as soon as it has", () => {
    const r1 = replica()
    r1.execute(7, 10)
    r1.notice(9, call())
    r1.execute(8, 10)
    expect(recorder.spans).toEqual([])
    r1.execute(9, 10)
    expect(recorder.named("process cmd.main.0")).toHaveLength(1)
    r1.execute(10, 10)
    expect(recorder.named("process cmd.main.0")).toHaveLength(1)
  })

  it("ignores what it does not remember, or has nothing to do with it", () => {
    const r1 = replica()
    r1.execute(7, 10)
    r1.notice(6, call())
    r1.notice(7, call({ index: 1 }))
    r1.notice(7, call({ member: "take" }))
    r1.notice(7, call({ type: "test/Other" }))
    r1.notice(7, call({ trace: `00-${TRACE}-${PARENT}-00` }))
    r1.notice(7, call({ trace: "nonsense-01" }))
    r1.notice(7)
    r1.notice(1_000_000, call())
    r1.hear(Buffer.of())
    r1.hear(Buffer.from("nonsense"))
    r1.execute(1_000_000, 10)
    expect([recorder.spans, r1.told]).toEqual([[], []])
  })

  it("looks at so many notices in a second, and drops the others unread", () => {
    const r1 = replica()
    for (let seq = 1; seq <= 300; seq++) r1.execute(seq, 10)
    for (let seq = 1; seq <= 300; seq++) r1.notice(seq, call())
    expect(recorder.named("process cmd.main.0")).toHaveLength(NOTICES_PER_SECOND)
    vi.advanceTimersByTime(1000)
    for (let seq = 101; seq <= 300; seq++) r1.notice(seq, call())
    expect(recorder.named("process cmd.main.0")).toHaveLength(2 * NOTICES_PER_SECOND)
  })

  it("remembers nothing where nobody had registered a tracer", () => {
    recorder[Symbol.dispose]()
    const r1 = replica()
    r1.execute(7, 10)
    recorder = new Recorder()
    r1.notice(7, call())
    r1.execute(8, 10)
    r1.notice(7, call())
    expect(recorder.spans).toEqual([])
    r1.notice(8, call())
    expect(recorder.named("process cmd.main.0")).toHaveLength(1)
  })
})
