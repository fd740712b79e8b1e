import { type GroupName, Malformed, type Partition, ReplicaId, ROSTER_NAMES_MAX } from "@lockstep/core"
import type { Connection } from "@lockstep/nats"
import type { TransferAnswer, TransferRequest } from "@lockstep/replication"
import type { Keeper } from "./keeper.ts"
import { transferrer, transferSubject } from "./subjects.ts"
import { decodeTransfer, encodeTransfer, type TransferMessage } from "./transfer.ts"

/** Peers that fetch a replica's checkpoint, and those that it asks for theirs. (A replica's own shard is one of those that it asks for.) */
export class Transfers {
  readonly #connection: Connection
  readonly #of: { readonly group: GroupName; readonly partition: Partition; readonly replica: ReplicaId }
  readonly #keeper: Keeper | undefined
  readonly #onAnswer: (from: ReplicaId, answer: TransferAnswer) => void
  readonly #fetchers = new Set<string>()
  readonly #stop: () => void

  constructor(
    connection: Connection,
    of: { readonly group: GroupName; readonly partition: Partition; readonly replica: ReplicaId },
    keeper: Keeper | undefined,
    onAnswer: (from: ReplicaId, answer: TransferAnswer) => void,
  ) {
    this.#connection = connection
    this.#of = of
    this.#keeper = keeper
    this.#onAnswer = onAnswer
    const subject = transferSubject(of.group, of.partition, of.replica, "*")
    this.#stop = connection.subscribe(subject, (from, bytes) => this.#receive(transferrer(from), bytes))
  }

  ask(to: ReplicaId, request: TransferRequest): void {
    this.#tell(to, { _tag: "Asks", request })
  }

  close(): void {
    this.#stop()
  }

  #receive(from: string, bytes: Uint8Array): void {
    if (!this.#mayFetch(from)) return
    try {
      const other = ReplicaId(from)
      const message = decodeTransfer(bytes)
      if (message._tag === "Answers") this.#onAnswer(other, message.answer)
      else
        for (const answer of this.#keeper?.read(other, message.request) ?? [])
          this.#tell(other, { _tag: "Answers", answer })
    } catch (cause) {
      // a name that is none is one in the subject, where anybody may write anything
      if (!(cause instanceof Malformed || cause instanceof TypeError)) throw cause
    }
  }

  /** The roster need not name it yet. But each of them costs memory while it fetches, so there may be as many as in a roster. */
  #mayFetch(from: string): boolean {
    if (!this.#fetchers.has(from) && this.#fetchers.size >= ROSTER_NAMES_MAX) return false
    this.#fetchers.add(from)
    return true
  }

  #tell(to: ReplicaId, message: TransferMessage): void {
    const { group, partition, replica } = this.#of
    this.#connection.publish(transferSubject(group, partition, to, replica), encodeTransfer(message))
  }
}
