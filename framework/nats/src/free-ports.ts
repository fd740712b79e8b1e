import { randomInt } from "node:crypto"
import { createServer } from "node:net"

/**
 * Ports on loopback that were free a moment ago, for servers that keep theirs over restarts, and so cannot choose one themselves. They are none of those that a
 * system gives to whoever asks for any (from 32768 on Linux, from 49152 elsewhere): somebody would have them before the server listens, or while it is away.
 */
export async function freePorts(count: number): Promise<ReadonlyArray<number>> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = randomInt(10_000, 32_768)
    if (await isFree(port)) ports.add(port)
  }
  return [...ports]
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  const listens = await new Promise<boolean>((resolve) => {
    probe.once("error", () => resolve(false))
    probe.listen(port, "127.0.0.1", () => resolve(true))
  })
  if (listens) await new Promise((resolve) => probe.close(resolve))
  return listens
}
