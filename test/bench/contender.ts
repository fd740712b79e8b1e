/** A program that counts by key on three replicas. All contenders of a run use the same servers. */
export interface Contender extends AsyncDisposable {
  readonly name: string
  /** A function that adds one to this key's counter, and resolves with what it is then. */
  counter(key: string): () => Promise<number>
}
