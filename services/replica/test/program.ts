import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import { expect } from "vitest"

/** The replica program, as it is built, in a process of its own. */
export interface Program extends AsyncDisposable {
  /** What it has logged. */
  readonly lines: ReadonlyArray<Line>
  /** Its exit code, once it has ended, with nothing but JSON lines on stdout and nothing on stderr. */
  readonly ended: Promise<number | null>
  /** Resolves with the first event of this name. */
  saw(event: string): Promise<Line>
  kill(signal: NodeJS.Signals): void
  /** From now on nobody reads its log. */
  deafen(): void
  /** Ends the channel that Node makes between a process and its child. */
  disconnect(): void
}

export interface Line {
  readonly time: string
  readonly event: string
  readonly [field: string]: unknown
}

/** The path of a file in this folder. */
export function beside(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url))
}

/** `settings` are LOCKSTEP_… variables, without that prefix. */
export function run(settings: Readonly<Record<string, string>>): Program {
  const variables = Object.entries(settings).map(([name, value]) => [`LOCKSTEP_${name}`, value])
  const child = spawn(process.execPath, [beside("../dist/main.js")], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { PATH: process.env["PATH"], ...Object.fromEntries(variables) },
  })
  const endWithUs = (): void => void child.kill("SIGKILL")
  process.once("exit", endWithUs)
  child.once("exit", () => process.off("exit", endWithUs))
  const lines: Array<Line> = []
  const stdout = child.stdout as Readable // it is a pipe, as above
  const stderr = child.stderr as Readable // the same
  createInterface({ input: stdout }).on("line", (line) => lines.push(JSON.parse(line) as Line))
  let errors = ""
  stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()))
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve))
  // Node says "close" of a child only where that ends the channel
  const read = [stdout, stderr].map((stream) => new Promise((resolve) => stream.once("close", resolve)))
  const ended = Promise.all(read).then(async () => {
    expect(errors).toBe("")
    return exited
  })
  return {
    lines,
    ended,
    async saw(event) {
      const find = () => lines.find((line) => line.event === event)
      await expect.poll(find, { timeout: 15_000 }).toBeDefined()
      return find() ?? { time: "", event }
    },
    kill: (signal) => void child.kill(signal),
    deafen: () => void stdout.destroy(),
    disconnect: () => child.disconnect(),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL")
      await ended
    },
  }
}
