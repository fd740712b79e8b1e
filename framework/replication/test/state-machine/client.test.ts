import { defineAll } from "@lockstep/actor"
import {
  ClientId,
  Diverged,
  encodeOpening,
  NoQuorum,
  OutcomeUnknown,
  Overloaded,
  ReplicaId,
  SessionExpired,
} from "@lockstep/core"
import { stateMachine } from "@lockstep/replication"
import { describe, expect, it } from "vitest"
import { byzantine, Counter, LyingCounter, ThrowingCounter } from "../counter.ts"
import { value, World } from "../world.ts"

const [r0, r1, r2] = [ReplicaId("r0"), ReplicaId("r1"), ReplicaId("r2")]

function world(limits = {}): World {
  return new World(byzantine, [Counter], limits)
}

/** A world whose session is open, so that the next entry is the test's own. */
function opened(limits = {}): World {
  const w = world(limits)
  w.call("get", "warm")
  w.run()
  return w
}

describe("a client of the state machine mode", () => {
  it("puts the commands of one turn into one entry, after opening a session", () => {
    const w = world()
    const calls = [w.call("add", "a", 1), w.call("add", "a", 2), w.call("add", "b", 5)]
    w.run()
    expect(calls.map(value)).toEqual([1, 3, 5])
    expect(w.log).toHaveLength(2)
    expect(calls.map((call) => call.settled)).toEqual([1, 1, 1])
  })

  it("does not believe one vote, and decides at the second equal one", () => {
    const w = opened()
    const call = w.call("add", "a", 1)
    w.flush()
    w.append()
    w.read(r0)
    w.vote()
    expect(call.settled).toBe(0)
    w.read(r2)
    w.vote()
    expect(value(call)).toBe(1)
  })

  it("decides at one vote where replicas can only crash", () => {
    const w = new World(stateMachine({ faults: 1, faultModel: "crash" }), [Counter])
    const call = w.call("add", "a", 1)
    w.run([r1])
    expect(value(call)).toBe(1)
  })

  it("believes f+1 equal votes and names the replica that lied", () => {
    const w = opened()
    w.restart(r1, defineAll([LyingCounter]))
    w.run()
    const call = w.call("add", "a", 1)
    w.run()
    expect(value(call)).toBe(1)
    expect(w.dissents.map((dissent) => dissent.replica)).toEqual([r1])
    expect(w.client.counts.dissents.get(r1)).toBe(1)
  })

  it("counts a lie that comes after the decision as well", () => {
    const w = opened()
    w.restart(r2, defineAll([LyingCounter]))
    w.run()
    w.call("add", "a", 1)
    w.run([r0, r1])
    expect(w.dissents).toHaveLength(0)
    w.read(r2)
    w.vote()
    expect(w.dissents.map((dissent) => dissent.replica)).toEqual([r2])
  })

  it("says Diverged at once, with what each replica answered, when no two can agree", () => {
    const w = opened()
    w.restart(r1, defineAll([LyingCounter]))
    w.restart(r2, defineAll([ThrowingCounter]))
    w.run()
    const call = w.call("add", "a", 1)
    w.run()
    expect(call.error).toBeInstanceOf(Diverged)
    const diverged = call.error as Diverged
    expect(diverged.testimonies.map(({ replica, outcome }) => [replica, outcome])).toEqual([
      [r0, { _tag: "Returned", value: 1 }],
      [r1, { _tag: "Returned", value: 1001 }],
      [r2, { _tag: "Threw", code: "Broken", data: undefined }],
    ])
  })

  it("says NoQuorum at the deadline when the command is in the log, and a retry gets the answer", () => {
    const w = opened({ deadlineMs: 1000 })
    const call = w.call("add", "a", 1)
    w.run([r0])
    for (let i = 0; i < 11; i++) {
      w.tick(100)
      w.run([r0])
    }
    expect(call.error).toBeInstanceOf(NoQuorum)
    expect((call.error as NoQuorum).missing).toEqual([r1, r2])
    w.read(r1)
    w.toClient.length = 0
    const again = { ...call, settled: 0 }
    const { number = -1 } = (call.error as NoQuorum).command ?? {}
    w.toldClient(w.client.step({ _tag: "Retry", number, call: again, nowMs: w.nowMs }))
    w.run()
    expect(value(again)).toBe(1)
    const get = w.call("get", "a")
    w.run()
    expect(value(get)).toBe(1)
  })

  it("says OutcomeUnknown when the log never confirmed the command", () => {
    const w = opened({ deadlineMs: 1000 })
    const call = w.call("add", "a", 1)
    w.flush()
    w.toLog.length = 0
    w.tick(1001)
    expect(call.error).toBeInstanceOf(OutcomeUnknown)
    expect(call.settled).toBe(1)
  })

  it("sends an unconfirmed entry again, and both copies together execute once", () => {
    const w = opened()
    const call = w.call("add", "a", 1)
    w.flush()
    w.append("silent")
    w.tick(1001)
    expect(w.toLog).toHaveLength(1)
    w.run()
    expect(value(call)).toBe(1)
    const get = w.call("get", "a")
    w.run()
    expect(value(get)).toBe(1)
    expect(w.replica(r0).status.repeated).toBe(1)
  })

  it("does not send a confirmed entry again, but asks for the votes that are missing", () => {
    const w = opened()
    const call = w.call("add", "a", 1)
    w.flush()
    w.append()
    for (const name of w.names) w.read(name)
    w.toClient.length = 0
    w.tick(101)
    expect(w.toLog).toHaveLength(0)
    expect(w.toReplica.map((ask) => ask.to)).toEqual([r0, r1, r2])
    w.run()
    expect(value(call)).toBe(1)
  })

  it("asks another holder when the replica that should send a large result is silent, and executes nothing again", () => {
    const w = opened()
    const call = w.call("text", "a", 200_000)
    w.flush()
    w.append()
    const designated = w.log.length % 3
    const others = w.names.filter((_, i) => i !== designated)
    for (const name of others) w.read(name)
    while (w.toClient.length > 0) w.vote()
    expect(call.settled).toBe(0)
    w.tick(21)
    expect(w.toReplica).toHaveLength(1)
    w.run(others)
    expect(value(call)).toBe("x".repeat(200_000))
  })

  it("does not take a large result from a liar whose digest is right and whose bytes are wrong", () => {
    const w = opened()
    const call = w.call("text", "a", 200_000)
    w.flush()
    w.append()
    for (const name of w.names) w.read(name)
    const tampered = w.toClient.map(({ from, bytes }) => {
      const wrong = Buffer.from(bytes)
      if (wrong.length > 100_000) wrong[wrong.length - 1] = 0x21
      return { from, bytes: wrong }
    })
    w.toClient.splice(0, w.toClient.length, ...tampered)
    while (w.toClient.length > 0) w.vote()
    expect(call.settled).toBe(0)
    w.tick(21)
    w.run()
    expect(value(call)).toBe("x".repeat(200_000))
  })

  it("ignores and counts votes of strangers, under a false name, or about something else", () => {
    const w = opened()
    const call = w.call("add", "a", 1)
    w.flush()
    w.append()
    w.read(r0)
    const [vote] = w.toClient
    if (vote === undefined) throw new Error("r0 voted")
    w.toClient.push({ from: "r1", bytes: vote.bytes }, { from: "mallory", bytes: vote.bytes })
    w.toClient.push({ from: "r1", bytes: Buffer.from("nonsense") })
    while (w.toClient.length > 0) w.vote()
    expect(call.settled).toBe(0)
    expect(w.client.counts.strangers).toBe(3)
  })

  it("does not count one replica twice, whatever it says", () => {
    const w = opened()
    const call = w.call("add", "a", 1)
    w.flush()
    w.append()
    w.read(r0)
    const [vote] = w.toClient
    if (vote !== undefined) w.toClient.push(vote, vote)
    while (w.toClient.length > 0) w.vote()
    expect(call.settled).toBe(0)
  })

  it("refuses what does not fit with Overloaded, and takes calls again when there is room", () => {
    const w = opened({ commandsMax: 2 })
    const calls = [w.call("add", "a", 1), w.call("add", "a", 1), w.call("add", "a", 1)]
    expect(calls[2]?.error).toBeInstanceOf(Overloaded)
    w.run()
    expect(calls.slice(0, 2).map(value)).toEqual([1, 2])
    const later = w.call("add", "a", 1)
    w.run()
    expect(value(later)).toBe(3)
  })

  it("settles the calls of a refused entry with Overloaded only if no earlier copy was sent", () => {
    const w = opened()
    const refused = w.call("add", "a", 1)
    w.flush()
    const token = w.toLog.shift()?.token ?? 0
    w.toldClient(w.client.step({ _tag: "AppendRefused", token, detail: "full", nowMs: w.nowMs }))
    expect(refused.error).toBeInstanceOf(Overloaded)

    const ambiguous = w.call("add", "a", 1)
    w.flush()
    w.append("silent")
    w.tick(1001)
    const second = w.toLog.shift()?.token ?? 0
    w.toldClient(w.client.step({ _tag: "AppendRefused", token: second, detail: "full", nowMs: w.nowMs }))
    expect(ambiguous.settled).toBe(0)
    w.run()
    expect(value(ambiguous)).toBe(1)
  })

  it("says Overloaded, not executed, for calls that never left before their deadline", () => {
    const w = world({ deadlineMs: 1000 })
    const call = w.call("add", "a", 1)
    w.flush()
    w.toLog.length = 0
    w.tick(1001)
    expect(call.error).toBeInstanceOf(Overloaded)
  })

  it("says NoQuorum, not executed, and who was not heard, when no session could be opened", () => {
    const w = world({ deadlineMs: 2500 })
    const call = w.call("add", "a", 1)
    w.run([r0])
    for (let i = 0; i < 26; i++) {
      w.tick(100)
      w.run([r0])
    }
    expect(call.error).toBeInstanceOf(NoQuorum)
    expect(call.error).toMatchObject({ tookEffect: "no", missing: [r1, r2], command: undefined })
  })

  it("keeps to its window, and lets commands gather in larger batches meanwhile", () => {
    const w = opened({ windowMax: 2 })
    const calls = []
    for (let i = 0; i < 10; i++) {
      calls.push(w.call("add", "a", 1))
      w.flush()
    }
    expect(w.toLog).toHaveLength(2)
    w.run()
    expect(calls.map(value)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(w.log).toHaveLength(2 + 3)
  })

  it("opens another session without a word when the replicas forgot an idle one", () => {
    const w = opened()
    forgetSessions(w)
    const call = w.call("add", "a", 1)
    w.run()
    expect(value(call)).toBe(1)
  })

  it("says SessionExpired when a command that was sent twice meets a forgotten session", () => {
    const w = opened()
    const call = w.call("add", "a", 1)
    w.flush()
    w.toLog.length = 0
    w.tick(1001)
    forgetSessions(w)
    w.run()
    expect(call.error).toBeInstanceOf(SessionExpired)
    const next = w.call("add", "a", 1)
    w.run()
    expect(value(next)).toBe(1)
  })

  it("says SessionExpired, not NoQuorum for ever, to a retry whose session was forgotten with its answer", () => {
    const w = opened({ deadlineMs: 1000 })
    const call = w.call("add", "a", 1)
    w.flush()
    w.append()
    for (const name of w.names) w.read(name)
    w.toClient.length = 0
    forgetSessions(w)
    w.tick(1001)
    expect(call.error).toBeInstanceOf(NoQuorum)
    const again = { ...call, settled: 0 }
    const { number = -1 } = (call.error as NoQuorum).command ?? {}
    w.toldClient(w.client.step({ _tag: "Retry", number, call: again, nowMs: w.nowMs }))
    w.run()
    expect(again.error).toBeInstanceOf(SessionExpired)
  })

  it("settles everything when it is closed", () => {
    const w = opened()
    const sent = w.call("add", "a", 1)
    w.flush()
    const waiting = w.call("add", "a", 1)
    w.toldClient(w.client.step({ _tag: "Close", nowMs: w.nowMs }))
    expect(sent.error).toBeInstanceOf(OutcomeUnknown)
    expect(waiting.error).toBeInstanceOf(Overloaded)
    expect(w.client.busy).toBe(false)
  })
})

/** Ten thousand other clients open sessions, so that the oldest ones are evicted. */
function forgetSessions(w: World): void {
  for (let i = 0; i <= 10_000; i++) w.put(openingOf(i))
  for (const name of w.names) w.read(name)
  w.toClient.length = 0
}

function openingOf(number: number): Uint8Array {
  return encodeOpening({ client: ClientId(`other-${number}`), number: 0 })
}
