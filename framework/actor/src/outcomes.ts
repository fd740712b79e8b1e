import { ByteWriter, type Refusal, writeRefused } from "@lockstep/core"
import { RESULT_BYTES_MAX } from "./actors.ts"
import { writeOutcome, writeThrown } from "./outcome.ts"

/** What the commands of one execution come to, one after the other, as bytes in one place. */
export class Outcomes {
  readonly #writer = new ByteWriter(1024)
  /** Where each of them ends. */
  #ends: Array<number> = []
  /** What stands in the place of those that were undone. */
  readonly #undone = new Map<number, Buffer>()

  /** The bytes of the last one, until the next. */
  get last(): Buffer {
    return this.#writer.view().subarray(this.#ends.at(-2) ?? 0)
  }

  /** The next command returned this. Throws what a getter of it throws, and nothing is written. */
  returned(value: unknown): void {
    const start = this.#writer.length
    try {
      writeOutcome(this.#writer, value)
    } catch (cause) {
      this.#writer.truncate(start)
      throw cause
    }
    this.#end(start)
  }

  /** The next command threw this. `"uncaught"`: most likely a bug. */
  threw(error: unknown): "refusal" | "uncaught" {
    const start = this.#writer.length
    const kind = writeThrown(this.#writer, error)
    this.#end(start)
    return kind
  }

  /** The next command was not executed. */
  refused(reason: Refusal, detail: string): void {
    writeRefused(this.#writer, reason, detail)
    this.#ends.push(this.#writer.length)
  }

  /** What this command did was undone. */
  undo(index: number, reason: Refusal, detail: string): void {
    const writer = new ByteWriter(256)
    writeRefused(writer, reason, detail)
    this.#undone.set(index, writer.take())
  }

  /** All of them, as bytes that stay. Empty afterwards. */
  take(): Buffer {
    const all = this.#undone.size === 0 ? this.#writer.take() : this.#withoutUndone()
    this.#writer.reset()
    this.#ends = []
    this.#undone.clear()
    return all
  }

  #withoutUndone(): Buffer {
    const written = this.#writer.view()
    return Buffer.concat(
      this.#ends.map((end, i) => this.#undone.get(i) ?? written.subarray(this.#ends[i - 1] ?? 0, end)),
    )
  }

  #end(start: number): void {
    const size = this.#writer.length - start
    if (size <= RESULT_BYTES_MAX) {
      this.#ends.push(this.#writer.length)
      return
    }
    this.#writer.truncate(start)
    this.refused(
      "ResultTooLarge",
      `the command was executed, but its result of ${size} bytes is over the limit of ${RESULT_BYTES_MAX} bytes`,
    )
  }
}
