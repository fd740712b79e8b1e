import { setTimeout as sleep } from "node:timers/promises"

/** Loaded by replica processes beside their program: at SIGUSR2 they collect garbage, and write into their log what they hold. */
process.on("SIGUSR2", () => void tell())

/** What a process holds after collections. */
export interface Held {
  readonly rssBytes: number
  /** Of JavaScript's objects, and of the buffers beside them. */
  readonly heapBytes: number
}

async function tell(): Promise<void> {
  // what a first collection lets go of is given back to the system by and by
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await sleep(50)
  }
  const { rss: rssBytes, heapUsed, external } = process.memoryUsage()
  const held: Held = { rssBytes, heapBytes: heapUsed + external }
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), event: "held", ...held })}\n`)
}
