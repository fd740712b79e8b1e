/** A program that counts by key on three replicas. All contenders of a run use the same servers. */
export interface Contender extends AsyncDisposable {
  readonly name: string
  /** A function that adds one to this key's counter, and resolves with what it is then. */
  counter(key: string): () => Promise<number>
}

/** What an answer promises, and what it took to give it: like is compared with like. */
export interface Terms {
  /** When what was answered is on a disk, by fsync. */
  readonly synced: "each write" | "every second" | "never"
  /** How many copies have what was answered. */
  readonly copies: number
  /** How many times an add is executed. */
  readonly executed: number
  /** Whether calls to one key take turns: then more callers wait longer, and nothing else. */
  readonly takesTurns?: true
  /** Whether the client makes one add of those that are called for a key meanwhile. */
  readonly combines?: true
  /** Versions, connections, and what else there is to know. */
  readonly about: string
}

/** What people might use instead: servers of its own, and whatever it promises. */
export interface Peer extends Contender {
  readonly terms: Terms
}
