import type { Schedule } from "./schedule.ts"

/** Some entries come meanwhile. */
const SOON_MS = 10

/** A process that dies, stands still, and is slow: what it receives then waits, or is lost. */
export class SimulatedProcess {
  readonly #schedule: Schedule
  readonly #name: string
  /** Counts lives: what belongs to an earlier one is ignored. */
  #life = 0
  #paused = false
  /** What arrived while it stood still. */
  #inbox: Array<() => void> = []
  #slowMs = 0
  /** Inputs keep their order, also when it becomes quicker. */
  #busyUntilMs = 0

  constructor(schedule: Schedule, name: string) {
    this.#schedule = schedule
    this.#name = name
  }

  get life(): number {
    return this.#life
  }

  get isPaused(): boolean {
    return this.#paused
  }

  start(): void {
    this.#life++
  }

  /** SIGKILL. */
  crash(): void {
    this.#paused = false
    this.#inbox = []
    this.#life++
  }

  /** SIGSTOP: what arrives waits. */
  pause(): void {
    this.#paused = true
  }

  /** SIGCONT. */
  resume(): void {
    this.#paused = false
    const inbox = this.#inbox
    this.#inbox = []
    for (const happen of inbox) happen()
  }

  /** Every input takes this long. */
  slowDown(ms: number): void {
    this.#slowMs = ms
  }

  /** Once some of what waits has had its turn. */
  soon(what: string, happen: () => void): void {
    this.#schedule.after(SOON_MS, `${this.#name} goes on`, () => this.receive(what, happen))
  }

  /** Now, or once it is no longer paused or busy; never if it dies before. */
  receive(what: string, happen: () => void): void {
    const life = this.#life
    const alive = (): void => {
      if (life !== this.#life) return
      if (this.#paused) this.#inbox.push(alive)
      else happen()
    }
    const atMs = Math.max(this.#schedule.nowMs + this.#slowMs, this.#busyUntilMs)
    if (atMs <= this.#schedule.nowMs) return alive()
    this.#busyUntilMs = atMs
    this.#schedule.after(atMs - this.#schedule.nowMs, `${this.#name} gets to ${what}`, alive)
  }
}
