import { decode, encode, Malformed, ReplicaId } from "@lockstep/core"
import type { ReignStatus } from "@lockstep/replication"

/** What one replica says of who is the master. */
export interface ReignView {
  readonly epoch: number
  readonly master: string | undefined
  readonly inSync: ReadonlyArray<string>
  /** It is the master itself, and nobody else can be. */
  readonly isSure: boolean
}

/** An operator wishes that this replica were the master. */
export function encodeWish(to: ReplicaId): Buffer {
  return encode({ handOverTo: to })
}

/** Undefined where it is none: who else may write there is a matter of permissions. */
export function decodeWish(bytes: Uint8Array): ReplicaId | undefined {
  return understood(() => ReplicaId(String(fieldsOf(bytes)["handOverTo"])))
}

export function encodeView(replica: ReplicaId, reign: ReignStatus): Buffer {
  const { epoch, master, inSync, leased } = reign
  return encode({ epoch, master: master ?? "", inSync: [...inSync], isSure: leased && master === replica })
}

/** Undefined where it is none. */
export function decodeView(bytes: Uint8Array): ReignView | undefined {
  return understood(() => {
    const { epoch, master, inSync, isSure } = fieldsOf(bytes)
    if (!Array.isArray(inSync)) throw new Malformed("no view of who is the master")
    const replicas = (inSync as ReadonlyArray<unknown>).map(String) // an array of anything
    const known = master === "" ? undefined : String(master)
    return { epoch: Number(epoch), master: known, inSync: replicas, isSure: isSure === true }
  })
}

function fieldsOf(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  const value = decode(bytes)
  if (typeof value !== "object" || value === null) throw new Malformed("not a record")
  return value as Readonly<Record<string, unknown>> // whatever it has, its fields are looked at one by one
}

function understood<Value>(read: () => Value): Value | undefined {
  try {
    return read()
  } catch (cause) {
    // a TypeError: a name that is none
    if (cause instanceof Malformed || cause instanceof TypeError) return undefined
    throw cause
  }
}
