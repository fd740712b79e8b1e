import {
  decodeEnvelope,
  decodeStatement,
  decodeVote,
  encodeAttestation,
  encodeStatement,
  encodeVote,
  Epoch,
  Malformed,
  type ReplicaId,
} from "@lockstep/core"
import type { ReplicaOutput } from "@lockstep/replication"
import type { Random } from "./random.ts"

/**
 * What a liar who was removed makes of what its heir says: the same, in its own name, in the epoch in which it voted, or in the
 * heir's. So two replicas say one wrong thing, of which only one may be counted.
 */
export function echo(
  output: ReplicaOutput,
  accomplice: ReplicaId,
  random: Random,
): ReplicaOutput | undefined {
  try {
    if (output._tag === "Send") {
      const { statement: said, parts, bytes } = decodeVote(output.bytes)
      const statement = decodeStatement(said)
      const epoch = random.chance(0.5) ? statement.epoch : Epoch(statement.epoch - 1)
      const claimed = encodeStatement({ ...statement, epoch })
      const [vote] = encodeVote(accomplice, claimed, parts === 1 ? bytes : undefined)
      return vote && { ...output, bytes: vote }
    }
    if (output._tag === "Attest") {
      const attestation = decodeEnvelope(output.bytes)
      if (attestation._tag !== "Attestation") return undefined
      return { ...output, bytes: encodeAttestation({ ...attestation, replica: accomplice }) }
    }
    return undefined
  } catch (cause) {
    if (cause instanceof Malformed) return undefined // the heir sent nonsense
    throw cause
  }
}
