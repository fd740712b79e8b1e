/**
 * Virtual time. Everything that happens in a simulation is an event here, in the order of (time, ordinal): nothing else moves
 * the clock, so a seed is enough to repeat a run to the last byte.
 */
export class Schedule {
  /** Milliseconds since the start. */
  nowMs = 0
  /** Events that happened. */
  happened = 0
  readonly #heap: Array<Event> = []
  readonly #trace = new Trace()
  #ordinal = 0

  /** Runs `happen` after this many milliseconds; at zero, after all that is already due now. */
  after(delayMs: number, label: string, happen: () => void): void {
    push(this.#heap, { atMs: this.nowMs + Math.max(0, delayMs), ordinal: this.#ordinal++, label, happen })
  }

  /** Lets events happen until there are none before `untilMs`, or `enough` says so. */
  run(untilMs: number, enough: () => boolean = () => false): void {
    while (!enough()) {
      const next = this.#heap[0]
      if (next === undefined || next.atMs > untilMs) {
        this.nowMs = Math.max(this.nowMs, untilMs)
        return
      }
      pop(this.#heap)
      this.nowMs = next.atMs
      this.happened++
      this.#trace.add(next.label, next.atMs)
      next.happen()
    }
  }

  /** A word about what happened, for the trace. */
  note(text: string): void {
    this.#trace.add(text, this.nowMs)
  }

  /** Equal for two runs in which the same things happened at the same times. */
  get traceHash(): string {
    return this.#trace.hash
  }
}

interface Event {
  readonly atMs: number
  readonly ordinal: number
  readonly label: string
  readonly happen: () => void
}

/** Two 32-bit FNV-1a hashes side by side: cheap enough to fold every event in. */
class Trace {
  #a = 0x811c9dc5
  #b = 0x01000193

  add(label: string, atMs: number): void {
    for (let i = 0; i < label.length; i++) this.#fold(label.charCodeAt(i))
    const micros = Math.round(atMs * 1000)
    this.#fold(micros >>> 0)
    this.#fold(Math.floor(micros / 0x1_0000_0000))
  }

  get hash(): string {
    return [this.#a, this.#b].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("")
  }

  #fold(word: number): void {
    this.#a = Math.imul(this.#a ^ word, 0x01000193)
    this.#b = Math.imul(this.#b ^ word ^ (this.#a >>> 15), 0x85ebca6b)
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.ordinal < b.ordinal)
}

function push(heap: Array<Event>, event: Event): void {
  let at = heap.push(event) - 1
  while (at > 0) {
    const parent = (at - 1) >> 1
    const above = heap[parent] as Event // a parent lies inside the heap
    if (!isBefore(event, above)) break
    heap[at] = above
    at = parent
  }
  heap[at] = event
}

/** Takes out the first event. */
function pop(heap: Array<Event>): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    const right = heap[child + 1]
    if (right !== undefined && isBefore(right, heap[child] as Event)) child++ // the left one is inside the heap
    const below = heap[child] as Event // just compared
    if (!isBefore(below, last)) break
    heap[at] = below
    at = child
  }
  heap[at] = last
}
