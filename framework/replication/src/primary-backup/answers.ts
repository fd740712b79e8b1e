import type { ReplicaId } from "@lockstep/core"
import type { ClientCounts } from "../mode.ts"

/** How many batches each replica has answered. What one says is the answer, so none differs. */
export class Answers {
  readonly #byReplica = new Map<ReplicaId, number>()
  #all = 0

  add(replica: ReplicaId): void {
    this.#all++
    this.#byReplica.set(replica, (this.#byReplica.get(replica) ?? 0) + 1)
  }

  get counts(): Pick<ClientCounts, "matched" | "matches" | "dissents"> {
    return { matched: this.#all, matches: this.#byReplica, dissents: NOBODY }
  }
}

const NOBODY: ReadonlyMap<ReplicaId, number> = new Map()
