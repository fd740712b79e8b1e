import { type Client, connect } from "lockstep"
import { type Development, develop } from "lockstep/develop"
import {
  ClientId,
  decodeStatement,
  decodeVote,
  digest,
  encode,
  encodeAsk,
  encodePeerReport,
  encodeStatement,
  encodeVote,
  Epoch,
  GroupName,
  Partition,
  type PeerReport,
  type Refusal,
  ReplicaId,
  SessionId,
  type Statement,
} from "@lockstep/core"
import fc from "fast-check"
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest"
import { actors, Counter } from "./actors.ts"
import { caughtUp, equal } from "./hosts.ts"
import { command, type Intruder, intrude, type Sent } from "./intruder.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })
const soon = { timeout: 20_000 }

let group: Development
let client: Client
let intruder: Intruder
/** How often the real client has called. */
let calls = 0

beforeAll(async () => {
  group = await develop(actors)
  await caughtUp(group.hosts)
  client = await connect({ servers: group.servers })
  intruder = await intrude(group.servers)
  await answersRightly(1)
})

/** Whatever was sent: real calls are answered rightly, and the replicas are live and equal. */
afterEach(async () => {
  await answersRightly(5)
  await equal(group.hosts)
  expect(group.hosts.map(({ live }) => live)).toEqual([true, true, true])
})

afterAll(async () => {
  await intruder[Symbol.asyncDispose]()
  await client.close()
  await group.close()
})

async function answersRightly(count: number): Promise<void> {
  for (let i = 0; i < count; i++) expect(await client.actor(Counter, "real").add(1)).toBe(++calls)
}

function dissenters(): ReadonlyArray<string> {
  return [...client.counts.dissents.keys()]
}

/** How many messages each replica did not understand, since this was called. */
function malformedSince(): () => ReadonlyArray<number> {
  const count = () => group.hosts.map(({ status }) => status[0]?.malformed ?? 0)
  const before = count()
  return () => count().map((now, replica) => now - (before[replica] ?? 0))
}

describe("entries that no client wrote", () => {
  const batch = () => intruder.batch({})
  const changed = (bytes: Buffer, at: number, value: number) => {
    bytes[at] = value
    return bytes
  }
  const garbage: ReadonlyArray<readonly [what: string, payload: () => Uint8Array]> = [
    ["nothing", () => Buffer.alloc(0)],
    ["a text", () => Buffer.from("hello")],
    ["zeros", () => Buffer.alloc(10_000)],
    ["the first byte alone", () => batch().subarray(0, 1)],
    ["another version", () => changed(batch(), 0, 0x4d)],
    ["another kind", () => changed(batch(), 1, 9)],
    ["another client's name", () => intruder.batch({ client: ClientId("somebody") })],
    ["a client id that is none", () => changed(batch(), 3, 0x2e)],
    ["bytes after the end", () => Buffer.concat([batch(), Buffer.from([0])])],
    ["no commands", () => intruder.batch({ commands: [] })],
    ["a batch that settles itself", () => intruder.batch({ number: 9, settledBelow: 10 })],
    ["numbers beyond 2^53", () => intruder.batch({ number: Number.MAX_SAFE_INTEGER })],
    ["an empty key", () => intruder.batch({ commands: [command({ key: "" })] })],
    ["a key that is too long", () => intruder.batch({ commands: [command({ key: "k".repeat(257) })] })],
  ]

  it.each(garbage)("are counted and ignored: %s", async (_, payload) => {
    const malformed = malformedSince()
    await intruder.append(payload())
    await expect.poll(malformed, soon).toEqual([1, 1, 1])
  })

  it("are counted and ignored: a batch that ends after any of its bytes", async () => {
    const malformed = malformedSince()
    const whole = batch()
    for (let length = 0; length < whole.length; length++)
      intruder.connection.publish("cmd.main.0.any.subject.below", whole.subarray(0, length))
    await expect.poll(malformed, soon).toEqual([whole.length, whole.length, whole.length])
  })

  const method = (type: string, member: string) => ({ methods: [{ type, member }] })
  const args = (bytes: Buffer) => ({ commands: [command({ args: bytes })] })
  const nest = Array.from({ length: 10_000 }, () => encode([null]).subarray(0, 2))
  const forgeries: ReadonlyArray<readonly [what: string, given: Partial<Sent>, reason: Refusal]> = [
    ["a session that was never opened", { session: SessionId(77) }, "SessionExpired"],
    ["an actor that is not hosted", method("test/Ghost", "boo"), "UnknownActor"],
    ["the prototype of everything", method("__proto__", "__proto__"), "UnknownActor"],
    ["a method that is none", method("test/Counter", "constructor"), "UnknownMethod"],
    ["arguments that are no list", args(encode({ length: 1 })), "InvalidArgument"],
    ["too many arguments", args(encode([1, 2, 3])), "InvalidArgument"],
    ["arguments cut short", args(encode([1]).subarray(0, 1)), "InvalidArgument"],
    ["arguments of great depth", args(Buffer.concat([...nest, encode(null)])), "InvalidArgument"],
  ]

  it.each(forgeries)("are refused by all replicas alike: those that name %s", async (_, given, reason) => {
    const malformed = malformedSince()
    expect(await intruder.ask(given)).toMatchObject([{ _tag: "Refused", reason }])
    await answersRightly(1)
    expect(malformed()).toEqual([0, 0, 0])
  })
})

describe("votes that no replica cast", () => {
  /** A vote of each replica on a call of the real client, by subject. */
  async function overheard(): Promise<ReadonlyMap<string, Uint8Array>> {
    const votes = new Map<string, Uint8Array>()
    const stop = intruder.connection.subscribe("vote.main.>", (subject, bytes) => {
      if (!subject.endsWith(".intruder")) votes.set(subject, bytes)
    })
    await intruder.connection.flush()
    await answersRightly(1)
    await expect.poll(() => votes.size, soon).toBe(3)
    stop()
    return votes
  }

  const forged = (bytes: Uint8Array, replica: string, change: Partial<Statement> = {}): Buffer => {
    const statement = { ...statementOf(bytes), ...change }
    const [vote] = encodeVote(ReplicaId(replica), encodeStatement(statement), decodeVote(bytes).bytes)
    return vote ?? Buffer.alloc(0)
  }

  const forgeries: ReadonlyArray<
    readonly [what: string, from: string, bytes: (vote: Uint8Array) => Uint8Array]
  > = [
    ["of an unknown replica", "r9", (vote) => forged(vote, "r9")],
    ["under another replica's name", "r0", (vote) => forged(vote, "r1")],
    ["under the name of somebody unknown", "r0", (vote) => forged(vote, "nobody")],
    ["for another group", "r0", (vote) => forged(vote, "r0", { group: GroupName("other") })],
    ["for another epoch", "r0", (vote) => forged(vote, "r0", { epoch: Epoch(2) })],
    ["for another partition", "r0", (vote) => forged(vote, "r0", { partition: Partition(1) })],
    ["for another client", "r0", (vote) => forged(vote, "r0", { client: ClientId("other") })],
    ["of nothing", "r0", () => Buffer.alloc(0)],
    ["that are a text", "r0", () => Buffer.from("I agree")],
    ["cut short", "r0", (vote) => vote.subarray(0, 100)],
    ["of another version", "r0", (vote) => Buffer.concat([Buffer.from([0x57]), vote.subarray(1)])],
  ]

  it.each(forgeries)("are counted as a stranger's and ignored: votes %s", async (_, from, bytes) => {
    const [[subject, vote] = NO_VOTE] = await overheard()
    const before = client.counts
    intruder.connection.publish(subject.replace(/r\d/, from), bytes(vote))
    await expect.poll(() => client.counts.strangers, soon).toBe(before.strangers + 1)
    await answersRightly(3)
    expect(client.counts.dissents).toEqual(new Map())
  })

  it("and that are old change nothing, however often they come", async () => {
    const old = [...(await overheard()), ...(await overheard())]
    for (let round = 0; round < 20; round++) {
      for (const [subject, bytes] of old) intruder.connection.publish(subject, bytes)
      await answersRightly(1)
    }
    expect(client.counts.dissents).toEqual(new Map())
  })

  it("and that come before the call, in one replica's name, are outvoted by the others", async () => {
    const [[subject, vote] = NO_VOTE] = await overheard()
    const { number } = statementOf(vote)
    for (let ahead = 1; ahead <= 30; ahead++) {
      for (const early of [0, 1, 2])
        intruder.connection.publish(
          subject.replace(/r\d/, "r0"),
          forged(vote, "r0", { number: number + ahead + early, outcomes: digest("a lie") }),
        )
      await answersRightly(1)
    }
    expect(dissenters().filter((replica) => replica !== "r0")).toEqual([])
  })
})

describe("questions that no client asked", () => {
  it("are counted by the replica that they reach, and ignored", async () => {
    const malformed = malformedSince()
    const ask = encodeAsk({ client: intruder.client, session: intruder.session, number: 0 })
    const garbage = [Buffer.alloc(0), Buffer.from("why?"), ask.subarray(0, 5), Buffer.concat([ask, ask])]
    for (const bytes of garbage) intruder.connection.publish("ask.main.0.r1", bytes)
    await expect.poll(malformed, soon).toEqual([0, garbage.length, 0])
  })

  it("are answered where the client issued such a command, and nowhere else", async () => {
    const heard: Array<string> = []
    const stop = intruder.connection.subscribe("vote.main.r0.>", (subject) => heard.push(subject))
    const { client: asking, session } = intruder
    await intruder.ask({ number: 1_000_000 })
    // whoever is asked before it has executed the command has no answer
    await expect.poll(() => heard, soon).toEqual(["vote.main.r0.intruder"])
    for (const ask of [
      { client: ClientId("nobody"), session, number: 1_000_000 },
      { client: asking, session: SessionId(999), number: 1_000_000 },
      { client: asking, session, number: 1_000_001 },
      { client: asking, session, number: 1_000_000 },
    ])
      intruder.connection.publish("ask.main.0.r0", encodeAsk(ask))
    await expect.poll(() => heard, soon).toEqual(["vote.main.r0.intruder", "vote.main.r0.intruder"])
    stop()
  })
})

describe("reports that no peer made", () => {
  it.each<readonly [what: string, from: string, bytes: () => Uint8Array, heardBy: ReadonlyArray<number>]>([
    ["of nothing", "r0", () => Buffer.alloc(0), [0, 1, 1]],
    ["that are a text", "r1", () => Buffer.from("all is well"), [1, 0, 1]],
    ["cut short", "r0", () => report().subarray(0, 40), [0, 1, 1]],
    ["under another replica's name", "r0", () => report({ replica: ReplicaId("r1") }), [0, 1, 1]],
    ["about another group", "r0", () => report({ group: GroupName("other") }), [0, 1, 1]],
    ["about another partition", "r0", () => report({ partition: Partition(1) }), [0, 1, 1]],
  ])("are counted and ignored: reports %s", async (_, from, bytes, heardBy) => {
    const malformed = malformedSince()
    intruder.connection.publish(`peer.main.0.${from}`, bytes())
    await expect.poll(malformed, soon).toEqual(heardBy)
  })

  it("and are of replicas without a vote, are heard by operators alone: they may be new ones", async () => {
    const malformed = malformedSince()
    for (const name of ["r7", "r8", "r9"])
      intruder.connection.publish(
        `peer.main.0.${name}`,
        report({ replica: ReplicaId(name), epoch: Epoch(9) }),
      )
    await answersRightly(5)
    expect(malformed()).toEqual([0, 0, 0])
  })

  it("and tell in one replica's name of another log, are not believed: it takes two", async () => {
    const malformed = malformedSince()
    for (const seq of [1, 2, Number.MAX_SAFE_INTEGER])
      intruder.connection.publish("peer.main.0.r0", report({ seq }))
    intruder.connection.publish("peer.main.0.r0", report())
    await answersRightly(5)
    expect(malformed()).toEqual([0, 0, 0])
  })
})

describe("bytes at random", () => {
  const edit = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    remove: fc.nat({ max: 3 }),
    insert: fc.uint8Array({ maxLength: 4 }),
  })
  const message = fc.record({
    kind: fc.constantFrom("entry", "vote", "ask", "report"),
    edits: fc.array(edit, { maxLength: 3 }),
    noise: fc.option(fc.uint8Array({ maxLength: 200 }), { freq: 4 }),
  })

  it("in place of entries, votes, questions and reports harm nobody", async () => {
    let vote = NO_VOTE
    // votes and reports in the name of one replica only: more than one are more faults than the group masks
    intruder.connection.subscribe("vote.main.r0.>", (subject, bytes) => (vote = [subject, bytes]))
    const sound = (kind: string): readonly [subject: string, bytes: Uint8Array] => {
      const { client: asking, session } = intruder
      if (kind === "entry") return ["cmd.main.0.client.intruder", intruder.batch({})]
      if (kind === "ask") return ["ask.main.0.r2", encodeAsk({ client: asking, session, number: 1 })]
      return kind === "vote" ? vote : ["peer.main.0.r0", report()]
    }
    const messages = fc.array(message, { minLength: 20, maxLength: 60 })
    const property = fc.asyncProperty(messages, async (given) => {
      for (const { kind, edits, noise } of given) {
        const [subject, bytes] = sound(kind)
        intruder.connection.publish(subject, noise ?? edited(bytes, edits))
      }
      await answersRightly(1)
    })
    await fc.assert(property, { numRuns: 50, endOnFailure: true })
    expect(dissenters().filter((replica) => replica !== "r0")).toEqual([])
  })

  function edited(
    bytes: Uint8Array,
    edits: ReadonlyArray<{ readonly at: number; readonly remove: number; readonly insert: Uint8Array }>,
  ): Uint8Array {
    return edits.reduce((text, { at, remove, insert }) => {
      const start = Math.floor(at * text.length)
      return Buffer.concat([text.subarray(0, start), insert, text.subarray(start + remove)])
    }, bytes)
  }
})

const NO_VOTE: readonly [subject: string, bytes: Uint8Array] = ["vote.main.r0.nobody", Buffer.alloc(0)]

/** What r0 would tell its peers if it had read another log, as far as it is not given otherwise. */
function report(change: Partial<PeerReport> = {}): Buffer {
  return encodePeerReport({
    group: GroupName("main"),
    epoch: Epoch(1),
    partition: Partition(0),
    replica: ReplicaId("r0"),
    seq: group.hosts[0]?.status[0]?.applied ?? 0,
    chain: digest("another log"),
    schema: { number: 0, versions: new Map() },
    onProbation: false,
    ...change,
  })
}

function statementOf(vote: Uint8Array): Statement {
  return decodeStatement(decodeVote(vote).statement)
}
