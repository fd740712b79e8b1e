/** A program that counts by key on three replicas. All contenders of a run use the same servers. */
export interface Contender extends AsyncDisposable {
  readonly name: string
  /** One command, and its answer. */
  call(key: string): Promise<unknown>
  /** At least this many commands with this many open at a time; resolves with how many there were. */
  throughput(commands: number, inFlight: number, keys: ReadonlyArray<string>): Promise<number>
}
