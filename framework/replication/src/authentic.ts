import { decodeEnvelope, type Entry, type Envelope, Malformed } from "@lockstep/core"

/** What an entry holds, if its writer is the one whom it names: the log says who wrote it. Undefined for garbage and false names. */
export function authentic(entry: Entry): Envelope | undefined {
  try {
    const envelope = decodeEnvelope(entry.payload)
    const writer = writerOf(envelope)
    return writer === undefined || entry.source === writer ? envelope : undefined
  } catch (cause) {
    if (cause instanceof Malformed) return undefined
    throw cause
  }
}

/** Undefined for what operators state: whether the writer is one is among the rules for that. */
function writerOf(envelope: Envelope): string | undefined {
  switch (envelope._tag) {
    case "Opening":
    case "Batch":
      return `client.${envelope.client}`
    case "Attestation":
      return `replica.${envelope.replica}`
    case "Renewal":
      return `replica.${envelope.master.replica}`
    case "Bid":
      return `replica.${envelope.bidder.replica}`
    case "Reconfiguration":
    case "Upgrade":
      return undefined
  }
}
