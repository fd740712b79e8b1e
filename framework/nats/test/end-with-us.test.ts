import { spawn } from "node:child_process"
import { once } from "node:events"
import { connect } from "node:net"
import { createInterface } from "node:readline"
import { describe, expect, it } from "vitest"

const HOOKS = new URL("../../../infra/scripts/ts-hooks.mjs", import.meta.url).href
const PROGRAM = new URL("program.ts", import.meta.url).pathname

/** A program with a server of its own, and where that listens. */
async function start(...args: ReadonlyArray<string>) {
  const sources = ["--conditions=@lockstep/source", "--import", HOOKS]
  const child = spawn(process.execPath, [...sources, PROGRAM, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const lines: Array<string> = []
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line))
  await expect.poll(() => lines, { timeout: 20_000 }).not.toEqual([])
  return { child, lines, port: Number(new URL(lines[0] ?? "").port) }
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1")
  try {
    await once(socket, "connect")
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

describe("a program that started a server", { timeout: 30_000 }, () => {
  it.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)("ends at %s, and so does the server", async (signal) => {
    const { child, port } = await start()
    expect(await listens(port)).toBe(true)
    child.kill(signal)
    expect(await once(child, "exit")).toEqual([null, signal])
    await expect.poll(() => listens(port)).toBe(false)
  })

  it("ends in its own way where it handles the signal: until then the server is there", async () => {
    const { child, lines, port } = await start("handles")
    child.kill("SIGTERM")
    await expect.poll(() => lines).toContain("draining")
    expect(await listens(port)).toBe(true)
    expect(await once(child, "exit")).toEqual([7, null])
    await expect.poll(() => listens(port)).toBe(false)
  })
})
