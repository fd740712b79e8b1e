import { closeSync, existsSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs"

/** A file that is there while its replica is on probation: it was wrong, and its process may end before it is trusted again. */
export class Trial {
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  get isOpen(): boolean {
    return existsSync(this.#file)
  }

  /** On return it is on the disk. */
  begin(): void {
    const file = openSync(this.#file, "w")
    try {
      writeSync(file, "this replica was wrong: it does not vote before f+1 others attest what it computes\n")
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
  }

  end(): void {
    rmSync(this.#file, { force: true })
  }
}
