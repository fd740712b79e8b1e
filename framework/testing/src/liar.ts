import {
  bucketDigest,
  type Canonical,
  ByteWriter,
  type Digest,
  decodeEnvelope,
  decodeOutcomes,
  decodePeerReport,
  decodeStatement,
  decodeVote,
  digest,
  encodeAttestation,
  encodePeerReport,
  encodeStatement,
  encodeVote,
  type Outcome,
  ReplicaId,
  rootOf,
  type Statement,
  writeRefused,
  writeReturned,
  writeThrew,
} from "@lockstep/core"
import {
  decodeHeader,
  encodeHeader,
  type Library,
  type ReplicaOutput,
  type TransferAnswer,
} from "@lockstep/replication"
import type { Random } from "./random.ts"

/** The ways in which a replica can be wrong about what it says. (One that is wrong in its state runs a faulty build.) */
export const LIES = [
  /** Answers something else. */
  "wrong-value",
  /** Answers rightly to some clients and wrongly to others. */
  "two-faced",
  /** Says again what it said before, in place of what is asked. */
  "replayed-vote",
  /** Claims another position in the log. */
  "other-seq",
  /** Claims another history. */
  "other-chain",
  /** Sends bytes that do not have the digest that it votes for. */
  "wrong-bytes",
  /** Votes for another client's batch, by number. */
  "other-number",
  /** Reads out other rows to a peer that needs its checkpoint. */
  "wrong-chunk",
  /** Reads out a checkpoint of its own making, whose parts fit together. */
  "forged-checkpoint",
  /** Attests another state. */
  "wrong-state-attested",
  /** Signs with another replica's name. */
  "false-name",
  /** Sends nonsense. */
  "garbage",
  /** Says nothing. */
  "silence",
] as const

export type Lie = (typeof LIES)[number]

/** Stands between a replica's protocol and the network, and distorts some of what it says. */
export class Liar {
  readonly #random: Random
  readonly #lies: ReadonlyArray<Lie>
  readonly #rate: number
  /** Makes lies of one replica differ from those of another. */
  readonly #salt: number
  /** Whether it lies now; it is right before. */
  readonly isActive: () => boolean
  readonly #said: Array<ReplicaOutput & { _tag: "Send" }> = []
  #healed = false

  constructor(options: {
    readonly random: Random
    readonly lies: ReadonlyArray<Lie>
    /** The share of messages that are distorted. */
    readonly rate: number
    readonly salt: number
    readonly isActive: () => boolean
  }) {
    this.#random = options.random
    this.#lies = options.lies
    this.#rate = options.rate
    this.#salt = options.salt
    this.isActive = options.isActive
  }

  distort(outputs: ReadonlyArray<ReplicaOutput>): ReadonlyArray<ReplicaOutput> {
    if (this.#healed || this.#lies.length === 0) return outputs
    return outputs.flatMap((output) => this.#distortOne(output))
  }

  /** The checkpoints that it shows to a peer. */
  show(disk: Library): Library {
    if (!this.#lies.includes("forged-checkpoint") || !this.isActive()) return disk
    const bucket = (seq: number, index: number): ReadonlyMap<string, Uint8Array> => {
      const rows = disk.bucket(seq, index)
      return new Map([...rows].map(([id, bytes]) => [id, id.startsWith("actor") ? flipped(bytes) : bytes]))
    }
    const manifest = (seq: number): ReturnType<Library["manifest"]> => {
      const right = disk.manifest(seq)
      if (right === undefined) return undefined
      const buckets = right.buckets.map((held, index) =>
        held === EMPTY_BUCKET ? held : bucketDigest(bucket(seq, index)),
      )
      return { buckets, header: encodeHeader({ ...decodeHeader(right.header), root: rootOf(buckets) }) }
    }
    return { manifest, bucket }
  }

  /** What it reads out to a peer, some of it wrong. */
  distortAnswers(answers: ReadonlyArray<TransferAnswer>): ReadonlyArray<TransferAnswer> {
    if (!this.#lies.includes("wrong-chunk") || !this.isActive()) return answers
    return answers.map((answer) =>
      answer._tag === "Piece" && this.#random.chance(this.#rate)
        ? { ...answer, bytes: flipped(answer.bytes) }
        : answer,
    )
  }

  /** From now on it passes on what the protocol says. */
  heal(): void {
    this.#healed = true
  }

  #distortOne(output: ReplicaOutput): ReadonlyArray<ReplicaOutput> {
    if (output._tag === "Tell" && this.#lies.includes("other-chain") && this.#random.chance(this.#rate)) {
      const report = decodePeerReport(output.bytes)
      return [{ ...output, bytes: encodePeerReport({ ...report, chain: this.#wrongDigest(report.chain) }) }]
    }
    if (output._tag === "Attest" && this.#lies.includes("wrong-state-attested")) {
      const attestation = decodeEnvelope(output.bytes)
      if (attestation._tag !== "Attestation") return [output]
      const state = this.#wrongDigest(attestation.state)
      return [{ ...output, bytes: encodeAttestation({ ...attestation, state }) }]
    }
    if (output._tag !== "Send") return [output]
    this.#said.push(output)
    if (this.#said.length > 64) this.#said.shift()
    if (!this.#random.chance(this.#rate)) return [output]
    return this.#lie(this.#random.pick(this.#lies), output)
  }

  #lie(lie: Lie, honest: ReplicaOutput & { _tag: "Send" }): ReadonlyArray<ReplicaOutput> {
    switch (lie) {
      case "wrong-value":
        return [this.#changed(honest, (outcomes) => this.#wrongOutcomes(outcomes))]
      case "two-faced":
        return isOdd(honest.to)
          ? [this.#changed(honest, (outcomes) => this.#wrongOutcomes(outcomes))]
          : [honest]
      case "replayed-vote":
        return [{ ...this.#random.pick(this.#said), to: honest.to }]
      case "other-seq":
        return [this.#claiming(honest, ({ seq }) => ({ seq: seq + 1 + this.#salt }))]
      case "other-chain":
        return [this.#claiming(honest, ({ chain }) => ({ chain: this.#wrongDigest(chain) }))]
      case "other-number":
        return [this.#claiming(honest, ({ number }) => ({ number: number + this.#salt }))]
      case "wrong-bytes":
        return [{ ...honest, bytes: flipped(honest.bytes) }]
      case "false-name": {
        const { statement, bytes } = decodeVote(honest.bytes)
        const [vote] = encodeVote(ReplicaId(`r${this.#random.integer(0, 4)}`), latin1(statement), bytes)
        return vote === undefined ? [] : [{ ...honest, bytes: vote }]
      }
      case "garbage":
        return [{ ...honest, bytes: Buffer.from(this.#random.bits().toString(36)) }]
      case "wrong-state-attested":
      case "wrong-chunk":
      case "forged-checkpoint":
        return [honest]
      case "silence":
        return []
    }
  }

  /** The vote with other outcomes, and a digest that fits them. */
  #changed(
    honest: ReplicaOutput & { _tag: "Send" },
    change: (outcomes: ReadonlyArray<Outcome>) => ReadonlyArray<Outcome>,
  ): ReplicaOutput & { _tag: "Send" } {
    const vote = decodeVote(honest.bytes)
    const statement = decodeStatement(vote.statement)
    if (vote.parts !== 1 || statement.count === 0)
      return this.#claiming(honest, ({ outcomes }) => ({ outcomes: this.#wrongDigest(outcomes) }))
    const wrong = encodeAll(change(decodeOutcomes(vote.bytes, statement.count)))
    const [bytes] = encodeVote(
      vote.replica,
      encodeStatement({ ...statement, outcomes: digest(wrong) }),
      wrong,
    )
    return bytes === undefined ? honest : { ...honest, bytes }
  }

  /** The vote with another claim. */
  #claiming(
    honest: ReplicaOutput & { _tag: "Send" },
    claim: (statement: Statement) => Partial<Statement>,
  ): ReplicaOutput & { _tag: "Send" } {
    const vote = decodeVote(honest.bytes)
    const statement = decodeStatement(vote.statement)
    const claimed = encodeStatement({ ...statement, ...claim(statement) })
    const [bytes] = encodeVote(vote.replica, claimed, vote.parts === 1 ? vote.bytes : undefined)
    return bytes === undefined ? honest : { ...honest, bytes }
  }

  #wrongOutcomes(outcomes: ReadonlyArray<Outcome>): ReadonlyArray<Outcome> {
    return outcomes.map((outcome) => {
      if (outcome._tag === "Returned") return { ...outcome, value: wrongValue(outcome.value, this.#salt) }
      return { _tag: "Returned", value: this.#salt }
    })
  }

  #wrongDigest(right: Digest): Digest {
    return digest(`${right} as told by ${this.#salt}`)
  }
}

/** A value of the same kind that is another one, and differs from liar to liar. */
export function wrongValue(value: Canonical, salt: number): Canonical {
  switch (typeof value) {
    case "number":
      return value + 1 + salt
    case "bigint":
      return value + BigInt(1 + salt)
    case "string":
      return `${value}!${salt}`
    case "boolean":
      return `${!value}, says ${salt}`
    default:
      return Array.isArray(value) ? [...(value as ReadonlyArray<Canonical>), salt] : { wrong: salt } // an array of values
  }
}

function encodeAll(outcomes: ReadonlyArray<Outcome>): Buffer {
  const writer = new ByteWriter()
  for (const outcome of outcomes) {
    if (outcome._tag === "Returned") writeReturned(writer, outcome.value)
    else if (outcome._tag === "Threw") writeThrew(writer, outcome.code, outcome.data)
    else writeRefused(writer, outcome.reason, outcome.detail)
  }
  return writer.take()
}

function flipped(bytes: Uint8Array): Uint8Array {
  const wrong = Buffer.from(bytes)
  const last = wrong.length - 1
  wrong[last] = (wrong[last] ?? 0) ^ 1
  return wrong
}

function isOdd(name: string): boolean {
  return name.charCodeAt(name.length - 1) % 2 === 1
}

function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1")
}

const EMPTY_BUCKET = bucketDigest(new Map())
