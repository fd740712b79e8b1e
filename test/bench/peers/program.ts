import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { existsSync, readdirSync, rmSync } from "node:fs"
import { chmod, mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { endWithUs } from "lockstep/develop"

/** What infra/scripts/get-peers.mjs has put somewhere. */
export const PEERS_DIR = join(
  process.env["LOCKSTEP_CACHE_DIR"] ?? join(import.meta.dirname, "../../../.cache"),
  "peers",
)

/** A program that a peer consists of is not on this machine. Says how to get it. */
export class PeerMissing extends Error {
  readonly _tag = "PeerMissing"
  override readonly name = "PeerMissing"

  constructor(program: string) {
    super(`there is no ${program}: "node infra/scripts/get-peers.mjs ${program}" gets it`)
  }
}

/** The path of a peer's program: from the cache, else from PATH or where Debian has it. Throws {@link PeerMissing}. */
export function findProgram(name: string): string {
  const debian = "/usr/lib/postgresql"
  const postgres = existsSync(debian)
    ? readdirSync(debian).map((version) => join(debian, version, "bin"))
    : []
  const onPath = (process.env["PATH"] ?? "").split(delimiter)
  const found = [join(PEERS_DIR, "bin"), ...onPath, "/usr/sbin", ...postgres]
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file))
  if (found === undefined) throw new PeerMissing(name)
  return found
}

/** What a program says of its version, as far as the pattern finds it. */
export function versionOf(program: string, pattern: RegExp): string {
  return (
    pattern.exec(spawnSync(program, ["--version"], { encoding: "utf8" }).stdout)?.[1] ?? "of unknown version"
  )
}

/** A temporary folder, which goes when we go, by a signal too. */
export async function startFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "lockstep-peers-"))
  await chmod(path, 0o711) // what is not started by root passes through
  const remove = (): void => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  const onSignal = (): never => process.exit(1)
  process.once("exit", remove)
  for (const signal of SIGNALS) process.once(signal, onSignal)
  return {
    path,
    async [Symbol.asyncDispose]() {
      for (const signal of SIGNALS) process.off(signal, onSignal)
      process.off("exit", remove)
      remove()
    },
  }
}

const SIGNALS = ["SIGHUP", "SIGINT", "SIGTERM"] as const

export interface ProgramOptions {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Some programs will not be started by root. */
  readonly uid?: number
  /** How it is ended. Default: SIGKILL. */
  readonly signal?: NodeJS.Signals
  /** Whether it serves; a rejection means not yet. */
  readonly ready: () => Promise<boolean>
}

/** Starts a program that ends with us at the latest. Resolves when it serves. */
export async function startProgram(options: ProgramOptions): Promise<AsyncDisposable> {
  const { command, args, cwd, uid, signal = "SIGKILL", ready } = options
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    ...(cwd !== undefined && { cwd }),
    ...(uid !== undefined && { uid, gid: uid }),
  })
  endWithUs(child)
  let said = ""
  const listen = (chunk: Buffer): void => void (said = `${said}${chunk.toString()}`.slice(-4000))
  child.stdout.on("data", listen)
  child.stderr.on("data", listen)
  const deadline = Date.now() + START_MS_MAX
  while (!(await ready().catch(() => false))) {
    if (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
      await sleep(20)
      continue
    }
    await end(child, "SIGKILL")
    throw new Error(`${command} did not start; the end of what it said:\n${said}`)
  }
  return { [Symbol.asyncDispose]: () => end(child, signal) }
}

/** Starts a program of this folder in a process of its own. Resolves with the first line that it prints: it serves then. */
export async function startScript(
  file: string,
  args: ReadonlyArray<string>,
): Promise<AsyncDisposable & { readonly line: string }> {
  const child = spawn(process.execPath, [...process.execArgv, join(import.meta.dirname, file), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  endWithUs(child)
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString().trim()))
    child.once("exit", () => reject(new Error(`${file} ended before it served`)))
  })
  return { line, [Symbol.asyncDispose]: () => end(child, "SIGKILL") }
}

const START_MS_MAX = 60_000

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once("exit", resolve))
  child.kill(signal)
  await exited
}
