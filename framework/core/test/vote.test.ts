import {
  ByteWriter,
  ClientId,
  decodeStatement,
  decodeVote,
  digest,
  encodeStatement,
  encodeVote,
  Epoch,
  GroupName,
  Malformed,
  Partition,
  PART_BYTES_MAX,
  ReplicaId,
  SessionId,
  SPAN_ID_LENGTH_MAX,
  type Statement,
  VOTE_SPANS_MAX,
  type VoteSpans,
} from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { forged, understood } from "./forgery.ts"

const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/)
const replica = token.map(ReplicaId)
const statement: fc.Arbitrary<Statement> = fc.record({
  group: token.map(GroupName),
  epoch: fc.maxSafeNat().map(Epoch),
  partition: fc.maxSafeNat().map(Partition),
  seq: fc.maxSafeNat(),
  chain: fc.string().map(digest),
  client: token.map(ClientId),
  session: fc.maxSafeNat().map(SessionId),
  number: fc.maxSafeNat(),
  count: fc.maxSafeNat(),
  outcomes: fc.string().map(digest),
})

/** In the order of the commands, as replicas name them. */
const spans: fc.Arbitrary<VoteSpans> = fc
  .dictionary(
    fc.nat({ max: 5000 }).map(String),
    fc.string({ minLength: 1, maxLength: 8, unit: "grapheme-ascii" }),
    {
      minKeys: 1,
      maxKeys: 9,
    },
  )
  .map((byIndex) => new Map(Object.entries(byIndex).map(([index, id]) => [Number(index), id])))

const text = (said: Statement): string => encodeStatement(said).toString("latin1")

describe("a statement", () => {
  it("says what it was made of", () => {
    const law = fc.property(statement, (said) => {
      expect(decodeStatement(text(said))).toEqual(said)
    })
    fc.assert(law)
  })

  it("equals another only if they agree on everything: no part of it is left out of the bytes", () => {
    const law = fc.property(statement, statement, (said, other) => {
      for (const part of Object.keys(said) as ReadonlyArray<keyof Statement>) {
        const changed: Statement = { ...said, [part]: other[part] }
        expect(text(changed) === text(said)).toBe(other[part] === said[part])
      }
    })
    fc.assert(law)
  })

  it("that nobody made is malformed, or it says exactly what its bytes say", () => {
    const law = fc.property(forged(statement.map(encodeStatement)), (bytes) => {
      const said = understood(() => decodeStatement(Buffer.from(bytes).toString("latin1")))
      return said === undefined || encodeStatement(said).equals(bytes)
    })
    fc.assert(law, { numRuns: 3000 })
  })

  it("has digests in lower-case hexadecimal, and nothing else in their place", () => {
    for (const part of ["chain", "outcomes"] as const)
      for (const wrong of ["A", "g", " ", "\0", "é"]) {
        const forgery = text(fixed).replace(fixed[part], fixed[part].replace(/[a-f]/, wrong))
        expect(() => decodeStatement(forgery)).toThrow(/not a digest/)
      }
  })
})

describe("a vote", () => {
  it("carries the statement, whatever its bytes, and the outcomes", () => {
    const bytes = fc.uint8Array({ maxLength: 300 })
    const law = fc.property(replica, bytes, bytes, (by, said, outcomes) => {
      const [message, ...more] = encodeVote(by, said, outcomes)
      expect(more).toEqual([])
      const vote = decodeVote(message ?? Buffer.of())
      expect(vote).toEqual({
        replica: by,
        statement: Buffer.from(said).toString("latin1"),
        parts: 1,
        part: 0,
        bytes: Buffer.from(outcomes),
      })
    })
    fc.assert(law, { numRuns: 300 })
  })

  it("without outcomes is one message that has no parts; empty outcomes are one part", () => {
    const votes = [undefined, new Uint8Array(0)].map((none) => encodeVote(fixedReplica, Buffer.of(1), none))
    const read = votes.map((messages) => messages.map(decodeVote))
    expect(read.map((all) => all.map(({ parts, part, bytes }) => [parts, part, bytes.length]))).toEqual([
      [[0, 0, 0]],
      [[1, 0, 0]],
    ])
  })

  it.for([
    [PART_BYTES_MAX - 1, 1],
    [PART_BYTES_MAX, 1],
    [PART_BYTES_MAX + 1, 2],
    [2 * PART_BYTES_MAX, 2],
    [5 * PART_BYTES_MAX + 7, 6],
  ] as const)("of %i bytes of outcomes comes in %i messages, none too large for NATS", ([length, parts]) => {
    const outcomes = Buffer.alloc(length, "lockstep")
    const said = encodeStatement(fixed)
    const messages = encodeVote(fixedReplica, said, outcomes)
    const votes = messages.map(decodeVote)
    expect(votes.map((vote) => [vote.parts, vote.part])).toEqual(votes.map((_, part) => [parts, part]))
    expect(votes.every((vote) => vote.statement === text(fixed) && vote.replica === fixedReplica)).toBe(true)
    expect(Buffer.concat(votes.map(({ bytes }) => bytes)).equals(outcomes)).toBe(true)
    expect(Math.max(...messages.map((message) => message.length))).toBeLessThan(1024 * 1024)
  })

  it.for([
    ["part 1 of 1", 1, 1],
    ["part 7 of 7", 7, 7],
    ["part 1 of none", 0, 1],
    ["more parts than outcomes can fill", 65, 0],
    ["as many parts as there are numbers", 2 ** 53 - 1, 5],
  ] as const)("that claims %s is malformed", ([, parts, part]) => {
    expect(() => decodeVote(voteOf(parts, part, Buffer.of()))).toThrow(/no such part/)
  })

  it("without parts is malformed if there are bytes of outcomes after all", () => {
    expect(decodeVote(voteOf(0, 0, Buffer.of())).parts).toBe(0)
    expect(() => decodeVote(voteOf(0, 0, Buffer.of(1)))).toThrow(Malformed)
  })

  it("names spans beside what is voted on: the statement and the outcomes are the same bytes without them", () => {
    const bytes = fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined })
    const law = fc.property(
      replica,
      fc.uint8Array({ maxLength: 20 }),
      bytes,
      spans,
      (by, said, outcomes, named) => {
        const [traced = Buffer.of()] = encodeVote(by, said, outcomes, named)
        const [untraced = Buffer.of()] = encodeVote(by, said, outcomes)
        expect(decodeVote(traced)).toEqual({ ...decodeVote(untraced), spans: named })
        expect(encodeVote(by, said, outcomes, new Map())).toEqual([untraced])
      },
    )
    fc.assert(law, { numRuns: 300 })
  })

  it("of many outcomes names spans once, in its first message, and no message is too large for NATS", () => {
    const named = new Map(
      Array.from({ length: VOTE_SPANS_MAX }, (_, index) => [index, "f".repeat(SPAN_ID_LENGTH_MAX)]),
    )
    const outcomes = Buffer.alloc(2 * PART_BYTES_MAX)
    const messages = encodeVote(fixedReplica, encodeStatement(fixed), outcomes, named)
    const votes = messages.map(decodeVote)
    expect(votes.map((vote) => vote.spans?.size)).toEqual([VOTE_SPANS_MAX, undefined])
    expect(Buffer.concat(votes.map((vote) => vote.bytes)).equals(outcomes)).toBe(true)
    expect(Math.max(...messages.map((message) => message.length))).toBeLessThan(1024 * 1024)
  })

  it.for([
    ["none", []],
    [
      "two of one command",
      [
        [3, "a"],
        [3, "b"],
      ],
    ],
    [
      "some in another order than the commands'",
      [
        [4, "a"],
        [3, "b"],
      ],
    ],
    ["one without an id", [[0, ""]]],
    ["one whose id is too long", [[0, "f".repeat(SPAN_ID_LENGTH_MAX + 1)]]],
    ["too many", Array.from({ length: VOTE_SPANS_MAX + 1 }, (_, index) => [index, "a"] as const)],
  ] as const)("that names spans, but %s, is malformed", ([, named]) => {
    expect(() => decodeVote(voteOf(1, 0, Buffer.of(), fixedReplica, Buffer.of(9), named))).toThrow(Malformed)
  })

  it("that nobody sent is malformed, or it says exactly what its bytes say", () => {
    const outcomes = fc.option(fc.uint8Array({ maxLength: 20 }), { nil: undefined })
    const named = fc.option(spans, { nil: undefined })
    const genuine = fc
      .tuple(replica, fc.uint8Array({ maxLength: 20 }), outcomes, named)
      .map(([by, said, bytes, ids]) => encodeVote(by, said, bytes, ids)[0] ?? Buffer.of())
    const law = fc.property(forged(genuine), (bytes) => {
      const vote = understood(() => decodeVote(bytes))
      if (vote === undefined) return true
      const said = Buffer.from(vote.statement, "latin1")
      const ids = vote.spans && [...vote.spans]
      return voteOf(vote.parts, vote.part, vote.bytes, vote.replica, said, ids).equals(bytes)
    })
    fc.assert(law, { numRuns: 3000 })
  })
})

const fixedReplica = ReplicaId("r0")
const fixed: Statement = {
  group: GroupName("bank"),
  epoch: Epoch(1),
  partition: Partition(0),
  seq: 7,
  chain: digest("chain"),
  client: ClientId("c"),
  session: SessionId(3),
  number: 4,
  count: 1,
  outcomes: digest("outcomes"),
}

/** A vote's bytes by the letter of the format. */
function voteOf(
  parts: number,
  part: number,
  bytes: Uint8Array,
  by: ReplicaId = fixedReplica,
  said: Uint8Array = Buffer.of(9),
  named?: ReadonlyArray<readonly [number, string]>,
): Buffer {
  const writer = new ByteWriter()
  writer.byte(named === undefined ? 0x56 : 0x57)
  writer.string(by)
  writer.bytes(said)
  writer.varint(parts)
  writer.varint(part)
  if (named !== undefined) writer.varint(named.length)
  for (const [index, id] of named ?? []) {
    writer.varint(index)
    writer.string(id)
  }
  writer.raw(bytes)
  return writer.take()
}
