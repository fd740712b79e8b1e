import {
  type Batch,
  type Command,
  BatchWriter,
  ByteWriter,
  ClientId,
  decodeEnvelope,
  encodeOpening,
  type Envelope,
  KEY_LENGTH_MAX,
  Malformed,
  NAME_LENGTH_MAX,
  SessionId,
  sliceOf,
} from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { forged, understood } from "./forgery.ts"
import { wellFormed } from "./text.ts"

const name = fc
  .oneof(wellFormed, fc.constant("€".repeat(NAME_LENGTH_MAX)))
  .filter((text) => text.length > 0 && text.length <= NAME_LENGTH_MAX)
const command = fc.record({
  type: fc.oneof(fc.constantFrom("bank/Account", "Counter"), name),
  member: fc.oneof(fc.constantFrom("deposit", "add"), name),
  key: fc.oneof(wellFormed, fc.constant("€".repeat(KEY_LENGTH_MAX))).filter((key) => key.length > 0),
  args: fc.uint8Array({ maxLength: 40 }),
  trace: fc.option(fc.oneof(fc.constantFrom("00-aa-bb-01", "00-cc-dd-01"), wellFormed), { nil: undefined }),
})
const commands = fc.array(command, { minLength: 1, maxLength: 12 })
const header = fc
  .record({
    client: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/).map(ClientId),
    session: fc.maxSafeNat().map(SessionId),
    number: fc.maxSafeNat().map((number) => Math.min(number, 2 ** 53 - 100)),
    unsettled: fc.oneof(fc.nat(5), fc.maxSafeNat()),
  })
  .map(({ client, session, number, unsettled }) => {
    return { client, session, number, settledBelow: Math.max(0, number - unsettled) }
  })

type CommandToSend = typeof command extends fc.Arbitrary<infer Value> ? Value : never

function fill(writer: BatchWriter, sent: ReadonlyArray<CommandToSend>): BatchWriter {
  for (const { type, member, key, args, trace } of sent) writer.add(type, member, key, sliceOf(args), trace)
  return writer
}

describe("a batch", () => {
  it("arrives as it was sent: every command, in order, with its method, key, arguments and trace", () => {
    const writer = new BatchWriter()
    const law = fc.property(header, commands, (head, sent) => {
      const { methods, traces, commands: received, ...rest } = sealAndDecode(writer, head, sent)
      expect(rest).toEqual({ _tag: "Batch", ...head })
      const named = received.map(({ method, key, args, trace }) => ({
        type: methods[method]?.type,
        member: methods[method]?.member,
        key,
        args: Uint8Array.from(args),
        trace: traces[trace],
      }))
      expect(named).toEqual(sent)
    })
    fc.assert(law, { numRuns: 500 })
  })

  it("names each method once, and a trace once for all the commands in a row that have it", () => {
    const law = fc.property(header, commands, (head, sent) => {
      const { methods, traces } = sealAndDecode(new BatchWriter(), head, sent)
      expect(methods).toHaveLength(new Set(sent.map((c) => JSON.stringify([c.type, c.member]))).size)
      const named = sent.map(({ trace }) => trace).filter((trace) => trace !== undefined)
      expect(traces).toEqual(named.filter((trace, i) => trace !== named[i - 1]))
    })
    fc.assert(law, { numRuns: 300 })
  })

  it("is never larger than its writer said, whatever the header will be", () => {
    const longest = { client: ClientId("c".repeat(64)), session: SessionId(2 ** 53 - 1) }
    const law = fc.property(commands, (sent) => {
      const writer = fill(new BatchWriter(), sent)
      const { sizeBytes, count } = writer
      expect(count).toBe(sent.length)
      const number = 2 ** 53 - 100
      expect(writer.seal({ ...longest, number, settledBelow: number }).length).toBeLessThanOrEqual(sizeBytes)
    })
    fc.assert(law, { numRuns: 300 })
  })

  it("leaves its writer as new once it is sealed", () => {
    const law = fc.property(header, commands, commands, (head, first, second) => {
      const used = fill(new BatchWriter(), first)
      used.seal(head)
      expect([used.count, used.sizeBytes]).toEqual([0, new BatchWriter().sizeBytes])
      expect(fill(used, second).seal(head)).toEqual(fill(new BatchWriter(), second).seal(head))
    })
    fc.assert(law, { numRuns: 100 })
  })
})

describe("the opening of a session", () => {
  it("arrives as it was sent", () => {
    const law = fc.property(header, ({ client, number }) => {
      const opening = decodeEnvelope(encodeOpening({ client, number }))
      expect(opening).toEqual({ _tag: "Opening", client, number })
    })
    fc.assert(law)
  })
})

describe("an envelope that nobody sealed", () => {
  const genuine = fc.oneof(
    fc.tuple(header, commands).map(([head, sent]) => fill(new BatchWriter(), sent).seal(head)),
    header.map(encodeOpening),
  )

  it("is malformed, or it says exactly what its bytes say", () => {
    const counts = { understood: 0, malformed: 0 }
    const law = fc.property(forged(genuine), (bytes) => {
      const envelope = understood(() => decodeEnvelope(bytes))
      counts[envelope === undefined ? "malformed" : "understood"]++
      return envelope === undefined || rewritten(envelope).equals(bytes)
    })
    fc.assert(law, { numRuns: 4000 })
    expect(Math.min(counts.understood, counts.malformed)).toBeGreaterThan(400)
  })

  it("is malformed if it is a part of one, or one with something behind it", () => {
    const law = fc.property(genuine, (bytes) => {
      const others: Array<Uint8Array> = [Buffer.concat([bytes, Uint8Array.of(0)])]
      for (let end = 0; end < bytes.length; end++) others.push(bytes.subarray(0, end))
      return others.every((other) => understood(() => decodeEnvelope(other)) === undefined)
    })
    fc.assert(law, { numRuns: 25 })
  })

  const valid: PlainBatch = {
    _tag: "Batch",
    client: ClientId("c"),
    session: SessionId(1),
    number: 5,
    settledBelow: 5,
    traces: ["t"],
    methods: [{ type: "T", member: "m" }],
    commands: [{ method: 0, key: "k", args: Buffer.of(0), trace: 0 }],
  }
  const [first] = valid.commands
  const broken: ReadonlyArray<readonly [string, object]> = [
    ["it is settled itself", { settledBelow: 6 }],
    ["it has no commands", { commands: [] }],
    ["its numbers end beyond 2^53 − 1", { number: 2 ** 53 - 1 }],
    ["its client has no valid name", { client: "a.b" }],
    ["a key is empty", { commands: [{ ...first, key: "" }] }],
    ["a key is too long", { commands: [{ ...first, key: "k".repeat(KEY_LENGTH_MAX + 1) }] }],
    ["a command names a method that is not there", { commands: [{ ...first, method: 1 }] }],
    ["a command names a trace that is not there", { commands: [{ ...first, trace: 1 }] }],
  ]

  it.for(broken)("is malformed where %s", ([, change]) => {
    expect(plain(decodeEnvelope(rewritten(valid)))).toEqual(valid)
    expect(() => decodeEnvelope(rewritten({ ...valid, ...change }))).toThrow(Malformed)
  })

  it.for(["", "4c", "4c02", "4d00016300", "4c0100"])("is malformed: %s", (hex) => {
    expect(() => decodeEnvelope(Buffer.from(hex, "hex"))).toThrow(Malformed)
  })

  it("cannot claim more than it holds: no count is believed beyond the bytes that follow", () => {
    const lie = Buffer.from("ffffffffffffff0f", "hex")
    const start = Buffer.from("4c010163010000", "hex") // client "c", session 1, number 0, settled below 0
    for (const before of ["", "00", "0000"]) {
      const bytes = Buffer.concat([start, Buffer.from(before, "hex"), lie, Buffer.alloc(1024 * 1024)])
      expect(() => decodeEnvelope(bytes)).toThrow(/count is larger/)
    }
  })
})

function sealAndDecode(
  writer: BatchWriter,
  head: Parameters<BatchWriter["seal"]>[0],
  sent: ReadonlyArray<CommandToSend>,
): Batch {
  const envelope = decodeEnvelope(fill(writer, sent).seal(head))
  if (envelope._tag !== "Batch") throw new Error("a batch arrives as a batch")
  return envelope
}

/** The envelope's bytes by the letter of the format, in no other way than field after field. */
/** A batch whose commands are plain objects: what it is made of, and nothing else. */
type PlainBatch = Omit<Batch, "commands"> & {
  readonly commands: ReadonlyArray<Pick<Command, "method" | "key" | "args" | "trace">>
}

function plain(envelope: Envelope): PlainBatch {
  if (envelope._tag !== "Batch") throw new Error(`an envelope is a ${envelope._tag}`)
  const received = envelope.commands.map(({ method, key, args, trace }) => ({ method, key, args, trace }))
  return { ...envelope, commands: received }
}

function rewritten(envelope: Exclude<Envelope, Batch> | PlainBatch): Buffer {
  const writer = new ByteWriter()
  writer.byte(0x4c)
  if (envelope._tag === "Attestation") {
    writer.byte(2)
    writer.string(envelope.replica)
    writer.varint(envelope.epoch)
    writer.varint(envelope.seq)
    for (const digest of [envelope.chain, envelope.state]) writer.ascii(digest)
    writer.byte(envelope.durable ? 1 : 0)
    return writer.take()
  }
  if (envelope._tag === "Reconfiguration") {
    writer.byte(3)
    writer.varint(envelope.roster.epoch)
    for (const names of [envelope.roster.voters, envelope.roster.standbys]) {
      writer.varint(names.length)
      for (const replica of names) writer.string(replica)
    }
    return writer.take()
  }
  if (envelope._tag === "Upgrade") {
    writer.byte(4)
    writer.varint(envelope.schema.number)
    writer.varint(envelope.schema.versions.size)
    for (const [type, version] of envelope.schema.versions) {
      writer.string(type)
      writer.varint(version)
    }
    return writer.take()
  }
  if (envelope._tag === "Renewal" || envelope._tag === "Bid")
    throw new Error("its codec has tests of its own")
  writer.byte(envelope._tag === "Opening" ? 0 : 1)
  writer.string(envelope.client)
  if (envelope._tag === "Batch") {
    writer.varint(envelope.session)
    writer.varint(envelope.number)
    writer.varint(envelope.settledBelow)
    writer.varint(envelope.traces.length)
    for (const trace of envelope.traces) writer.string(trace)
    writer.varint(envelope.methods.length)
    for (const { type, member } of envelope.methods) for (const text of [type, member]) writer.string(text)
    writer.varint(envelope.commands.length)
    for (const { method, key, trace, args } of envelope.commands) {
      writer.varint(method)
      writer.string(key)
      writer.varint(trace + 1)
      writer.bytes(args)
    }
  } else writer.varint(envelope.number)
  return writer.take()
}
