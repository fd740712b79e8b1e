/** Commands to be run once, in their order, on actors whose states are given. */
export interface Execution {
  /** By which the outcome is told. */
  readonly token: number
  readonly client: string
  readonly session: number
  /** The number of the first command. */
  readonly number: number
  /** Those that the commands run on, each once. */
  readonly actors: ReadonlyArray<ExecutedActor>
  readonly commands: ReadonlyArray<ExecutedCommand>
  /** `"query"`: nothing that the commands leave behind is kept. */
  readonly kind: "command" | "query"
}

export interface ExecutedActor {
  readonly type: string
  readonly key: string
  /** Its version and canonical state; undefined for one that is new. */
  readonly row: Uint8Array | undefined
}

export interface ExecutedCommand {
  /** Index into `actors`. */
  readonly actor: number
  readonly member: string
  /** Canonical bytes of the array of arguments. They may be malformed. */
  readonly args: Buffer
}

/** What an execution came to. */
export interface Executed {
  readonly token: number
  /** The bytes of all outcomes, in the order of the commands. */
  readonly outcomes: Buffer
  /** By actor, in the order of `actors`: its new row; undefined where that has not changed. */
  readonly rows: ReadonlyArray<Uint8Array | undefined>
}
