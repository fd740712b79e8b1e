/** So long others have their turn before something that takes long is gone on with, milliseconds, at least. */
const REST_MS = 1
/** How much of the time something that takes long has, at most; and how long it goes on for, at most. */
const SHARE = 1 / 2
const TURN_MS_MAX = 5

/** Goes on with what takes long once whatever waits has had its turn. */
export function later(goOn: () => void): void {
  setTimeout(goOn, REST_MS)
}

/**
 * The turns of something that takes long, in a thread that has other things to do: a share of the time, so that it neither holds up a replica that is
 * idle nor starves where one is busy.
 */
export class Pace {
  #endedMs = performance.now()

  /** Does one part after the other until the turn is over, or `part` says that it was the last. Yields whether it was. */
  turn(part: () => boolean): boolean {
    const startMs = performance.now()
    const untilMs = startMs + Math.min(TURN_MS_MAX, ((startMs - this.#endedMs) * SHARE) / (1 - SHARE))
    let isDone = part()
    while (!isDone && performance.now() < untilMs) isDone = part()
    this.#endedMs = performance.now()
    return isDone
  }
}
