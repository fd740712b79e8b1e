import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
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
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], ...Object.fromEntries(variables) },
  })
  const endWithUs = (): void => void child.kill("SIGKILL")
  process.once("exit", endWithUs)
  child.once("exit", () => process.off("exit", endWithUs))
  const lines: Array<Line> = []
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(JSON.parse(line) as Line))
  let errors = ""
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve)).then((code) => {
    expect(errors).toBe("")
    return code
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
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL")
      await ended
    },
  }
}
