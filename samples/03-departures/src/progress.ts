/** A progress bar on a terminal; a line for each phase where there is none. */
export class Progress {
  readonly #total: number
  readonly #out: NodeJS.WriteStream
  #phase = ""
  #drawnAt = 0

  constructor(total: number, out: NodeJS.WriteStream) {
    this.#total = total
    this.#out = out
  }

  say(text: string): void {
    this.#clear()
    this.#out.write(`  ${text}\n`)
  }

  show(phase: string, done: number): void {
    if (phase !== this.#phase) {
      this.#phase = phase
      this.say(`${done.toLocaleString("en-US").padStart(6)}  ${phase}`)
    }
    const now = performance.now()
    if (!this.#out.isTTY || (now - this.#drawnAt < 50 && done < this.#total)) return
    this.#drawnAt = now
    const width = 40
    const filled = Math.round((done / this.#total) * width)
    this.#out.write(
      `\r  [${"█".repeat(filled)}${"·".repeat(width - filled)}] ${Math.floor((done / this.#total) * 100)} %  ${phase}\u001B[K`,
    )
  }

  end(): void {
    this.#clear()
  }

  #clear(): void {
    if (this.#out.isTTY) this.#out.write("\r\u001B[K")
  }
}
