import {
  ClientId,
  encodeOpening,
  encodeReconfiguration,
  Epoch,
  NoQuorum,
  ReplicaId,
  SessionExpired,
} from "@lockstep/core"
import { describe, expect, it } from "vitest"
import { byzantine, Counter } from "../counter.ts"
import { type TestCall, value, World } from "../world.ts"

const [r0, r1, r2, r3] = [ReplicaId("r0"), ReplicaId("r1"), ReplicaId("r2"), ReplicaId("r3")]

/** A world whose client has a session, and tells its callers after a second that nothing is decided. */
function opened(): World {
  const w = new World(byzantine, [Counter], { deadlineMs: 1000 })
  w.call("get", "warm")
  w.run()
  return w
}

/** The caller of a call that is undecided asks again. */
function retry(w: World, call: TestCall): TestCall {
  const again: TestCall = { ...call, settled: 0 }
  delete again.error
  delete again.outcome
  const number = call.error instanceof NoQuorum ? call.error.command?.number : undefined
  w.toldClient(w.client.step({ _tag: "Retry", number: number ?? -1, call: again, nowMs: w.nowMs }))
  return again
}

/** The caller asks again, time after time, while it is told that nothing is decided. */
function retryPatiently(w: World, call: TestCall, alive = w.names): TestCall {
  let last = call
  for (let attempt = 0; attempt < 5 && last.error instanceof NoQuorum; attempt++) {
    last = retry(w, last)
    pass(w, 11, alive)
  }
  return last
}

/** So many tenths of a second, in which everything moves. */
function pass(w: World, tenths: number, alive = w.names): void {
  w.run(alive)
  for (let i = 0; i < tenths; i++) {
    w.tick(100)
    w.run(alive)
  }
}

/** So many other clients open a session that the replicas have no room for those that were there. */
function forgetSessions(w: World): void {
  for (let i = 0; i <= 10_000; i++) w.put(encodeOpening({ client: ClientId(`other-${i}`), number: 0 }))
}

/** What is issued gets into the log, and replicas execute it. */
function execute(w: World): void {
  w.flush()
  w.append()
  readAll(w)
}

function readAll(w: World, names = w.names): void {
  for (const name of names) w.read(name)
}

function hear(w: World, messages: ReadonlyArray<World["toClient"][number]>): void {
  w.toClient.push(...messages)
  while (w.toClient.length > 0) w.vote()
}

/** A call whose outcome only one replica sends as it is: that message is lost, and the others say that they agree. */
function callWithoutBytes(w: World): TestCall {
  const call = w.call("text", "a", 100_000)
  execute(w)
  hear(
    w,
    w.toClient.splice(0).filter(({ bytes }) => bytes.length < 10_000),
  )
  return call
}

describe("a caller that asks again", () => {
  it("is told in the end that nobody knows, where a batch is decided whose bytes nobody keeps any more", () => {
    const w = opened()
    const call = callWithoutBytes(w)
    forgetSessions(w)
    readAll(w)
    w.toClient.length = 0
    w.tick(1001)
    expect(call.error).toBeInstanceOf(NoQuorum)
    expect(retryPatiently(w, call).error).toBeInstanceOf(SessionExpired)
  })

  it("is told the same where its answer was dropped for want of room in the session", () => {
    const w = opened()
    const call = callWithoutBytes(w)
    for (let i = 0; i < 50; i++) {
      w.call("text", "a", 100_000)
      execute(w)
      hear(w, [])
      w.toReplica.length = 0
    }
    w.tick(1001)
    expect(call.error).toBeInstanceOf(NoQuorum)
    expect(retryPatiently(w, call).error).toBeInstanceOf(SessionExpired)
  })

  it("gets what was decided late, also after a change of roster", () => {
    const w = opened()
    const call = w.call("add", "a", 1)
    execute(w)
    const late = w.toClient.splice(0)
    w.tick(1001)
    expect(call.error).toBeInstanceOf(NoQuorum)
    w.toReplica.length = 0
    hear(w, late)
    // another call says that it is settled
    const next = w.call("add", "a", 1)
    w.run()
    expect(value(next)).toBe(2)
    const second = { epoch: Epoch(2), voters: [r0, r1, r3], standbys: [r2] }
    const all = [r0, r1, r2, r3]
    w.restart(r3)
    w.put(encodeReconfiguration(second))
    readAll(w, all)
    w.toClient.length = 0
    w.toldClient(w.client.step({ _tag: "Roster", roster: second, nowMs: w.nowMs }))
    w.run(all)
    expect(value(retryPatiently(w, call, all))).toBe(1)
  })

  it("gets the outcome of its call, as every other caller of a batch that was decided late does", () => {
    const w = opened()
    const calls = [w.call("add", "a", 1), w.call("add", "a", 1)] as const
    execute(w)
    w.toClient.length = 0
    w.tick(1001)
    for (const call of calls) expect(call.error).toBeInstanceOf(NoQuorum)
    const first = retry(w, calls[0])
    w.run()
    expect(value(first)).toBe(1)
    const second = retry(w, calls[1])
    w.run()
    expect(value(second)).toBe(2)
  })

  it("is answered both times where it asks twice", () => {
    const w = opened()
    const call = w.call("add", "a", 1)
    execute(w)
    w.toClient.length = 0
    w.tick(1001)
    const [one, two] = [retry(w, call), retry(w, call)]
    pass(w, 30)
    expect([one.settled, two.settled]).toEqual([1, 1])
  })

  it("does not have sent anew, behind the back of another one, what that one was told nobody knows of", () => {
    const w = opened()
    const calls = [w.call("add", "a", 1), w.call("add", "b", 1)] as const
    w.flush()
    // the session is evicted before the batch gets into the log
    forgetSessions(w)
    execute(w)
    const late = w.toClient.splice(0)
    w.tick(1001)
    for (const call of calls) expect(call.error).toBeInstanceOf(NoQuorum)
    w.toReplica.length = 0
    hear(w, late)
    // the first one is served, if anything is; the other one's caller may have issued it again meanwhile
    retry(w, calls[0])
    expect(retry(w, calls[1]).error).toBeInstanceOf(SessionExpired)
    const before = w.replica(r0).status.executed
    w.run()
    expect(w.replica(r0).status.executed - before).toBeLessThanOrEqual(1)
  })

  it("has its time, where the replicas had refused its call because the session was gone", () => {
    const w = opened()
    const call = w.call("add", "a", 1)
    w.flush()
    forgetSessions(w)
    execute(w)
    const late = w.toClient.splice(0)
    w.tick(1001)
    w.toReplica.length = 0
    hear(w, late)
    const again = retry(w, call)
    w.tick(20) // before the new session is there
    w.run()
    expect(value(again)).toBe(1)
  })

  it("has its batch sent to the log once more, not once for each caller of it", () => {
    const w = opened()
    const calls = Array.from({ length: 100 }, () => w.call("add", "a", 1))
    w.flush()
    w.append()
    w.tick(1001)
    for (const call of calls) expect(call.error).toBeInstanceOf(NoQuorum)
    w.toReplica.length = 0
    const before = w.log.length
    const again = calls.map((call) => retry(w, call))
    w.run()
    expect(again.map(value)).toEqual(calls.map((_, i) => i + 1))
    expect(w.log.length - before).toBe(1)
  })
})

describe("the opening of a session", () => {
  it("succeeds although votes take longer than a second", () => {
    const w = new World(byzantine, [Counter], { deadlineMs: 20_000 })
    const call = w.call("add", "a", 1)
    w.flush()
    const due: Array<{ readonly at: number; readonly message: World["toClient"][number] }> = []
    for (let i = 0; i < 190 && call.settled === 0; i++) {
      while (w.toLog.length > 0) w.append()
      readAll(w)
      while (w.toReplica.length > 0) w.ask()
      for (const message of w.toClient.splice(0)) due.push({ at: w.nowMs + 1200, message })
      const arrived = due.filter(({ at }) => at <= w.nowMs)
      due.splice(0, arrived.length)
      hear(
        w,
        arrived.map(({ message }) => message),
      )
      w.tick(100)
    }
    expect(value(call)).toBe(1)
  })
})
