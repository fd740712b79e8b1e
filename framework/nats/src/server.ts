import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { SERVER_VERSION_MIN } from "./connection.ts"
import { DEVELOPMENT_CONFIG } from "./development.ts"
import { endWithUs } from "./end-with-us.ts"
import { freePorts } from "./free-ports.ts"

/** A nats-server of our own, for development and tests. */
export interface Server extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  /** Sends the signal. SIGKILL and SIGTERM resolve when the process is gone, SIGSTOP and SIGCONT at once. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again after it ended, on the same port and store. */
  restart(): Promise<void>
  /** Ends it, and removes its store if that was temporary. */
  stop(): Promise<void>
}

export interface ServerOptions {
  /** Default: a temporary folder. */
  readonly storeDir?: string
  /** When entries reach the disk. Default: `"always"`, so that an acknowledged entry survives a power failure. */
  readonly syncInterval?: string
  /** Default: a free one. */
  readonly port?: number
  /** A configuration file in place of the development one. It takes its store from NATS_STORE; address and port are overridden. */
  readonly configFile?: string
  /** The environment that the configuration refers to. */
  readonly env?: Readonly<Record<string, string>>
  /** More lines of configuration. */
  readonly config?: string
}

/** There is no nats-server that is new enough. Says how to get one. */
export class NatsServerMissing extends Error {
  readonly _tag = "NatsServerMissing"
  override readonly name = "NatsServerMissing"

  constructor(tried: ReadonlyArray<string>) {
    super(
      `no nats-server ${SERVER_VERSION_MIN} or newer was found (tried ${tried.join(", ")}). Run "npm run setup:nats" in the workspace, or install one and set NATS_SERVER to its path.`,
    )
  }
}

/** The path of a nats-server: NATS_SERVER, then a workspace's cache, then PATH if new enough. Throws {@link NatsServerMissing}. */
export function findServer(): string {
  const given = process.env["NATS_SERVER"]
  if (given !== undefined && given !== "") {
    if (isNewEnough(given)) return given
    throw new NatsServerMissing([`NATS_SERVER=${given}`])
  }
  const caches = [process.cwd(), import.meta.dirname].flatMap(ancestors).map((dir) => join(dir, CACHED))
  const onPath = (process.env["PATH"] ?? "").split(delimiter).map((dir) => join(dir, "nats-server"))
  const found = [...caches, ...onPath].find((file) => existsSync(file) && isNewEnough(file))
  if (found === undefined) throw new NatsServerMissing(["NATS_SERVER", CACHED, "PATH"])
  return found
}

/** Starts one server on loopback, with JetStream on files. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), "lockstep-nats-"))
  const storeDir = options.storeDir ?? join(directory, "store")
  const [port = 0] = options.port === undefined ? await freePorts(1) : [options.port]
  const base =
    options.configFile === undefined
      ? DEVELOPMENT_CONFIG.replace(
          "sync_interval: always",
          `sync_interval: ${options.syncInterval ?? "always"}`,
        )
      : await readFile(options.configFile, "utf8")
  const config = `${base}\n${options.config ?? ""}\n`
  // nats-server takes the store from a flag or from its file, not from both
  const flags = options.configFile === undefined ? ["-sd", storeDir] : []
  const env = { NATS_PORT: String(port), NATS_STORE: storeDir, ...options.env }
  const server = new ServerProcess({ config, port, directory, flags, env })
  try {
    await server.restart()
  } catch (cause) {
    await server.stop()
    throw cause
  }
  return server
}

/** Three servers, or more, that hold streams together. */
export interface Cluster extends AsyncDisposable {
  readonly servers: ReadonlyArray<Server>
  readonly urls: ReadonlyArray<string>
  stop(): Promise<void>
}

/**
 * Starts a cluster on loopback, in which streams of as many copies can be made. A `configFile` finds the addresses of its
 * nodes in the environment, as infra/nats/production.conf does.
 */
export async function startCluster(
  options: ServerOptions & { readonly nodes?: number } = {},
): Promise<Cluster> {
  const ports = await freePorts(options.nodes ?? 3)
  const routes = ports.map((port) => `nats://127.0.0.1:${port}`)
  const list = routes.map((route) => JSON.stringify(route)).join(", ")
  const servers = await Promise.all(
    ports.map((port, node) =>
      startServer({
        ...options,
        ...(options.configFile === undefined && {
          config: `server_name: n${node}\ncluster { name: lockstep, host: "127.0.0.1", port: ${port}, routes: [${list}] }\n${options.config ?? ""}`,
        }),
        env: {
          NATS_NAME: `n${node}`,
          NATS_HOST: "127.0.0.1",
          NATS_CLUSTER_HOST: "127.0.0.1",
          NATS_CLUSTER_PORT: String(port),
          ...Object.fromEntries(routes.map((route, i) => [`NATS_ROUTE_${i}`, route])),
          ...options.env,
        },
      }),
    ),
  )
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()))
  }
  return { servers, urls: servers.map((server) => server.url), stop, [Symbol.asyncDispose]: stop }
}

const CACHED = ".cache/nats-server/nats-server"
const START_MS_MAX = 15_000

class ServerProcess implements Server {
  readonly #config: string
  readonly #port: number
  readonly #directory: string
  readonly #flags: ReadonlyArray<string>
  readonly #env: Readonly<Record<string, string>>
  #child: ChildProcess | undefined
  #log = ""

  constructor(options: {
    readonly config: string
    readonly port: number
    readonly directory: string
    readonly flags: ReadonlyArray<string>
    readonly env: Readonly<Record<string, string>>
  }) {
    this.#config = options.config
    this.#port = options.port
    this.#directory = options.directory
    this.#flags = options.flags
    this.#env = options.env
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  async restart(): Promise<void> {
    await this.kill("SIGKILL")
    const file = join(this.#directory, "server.conf")
    await writeFile(file, `${this.#config}\n`)
    const address = ["-a", "127.0.0.1", "-p", String(this.#port), "--ports_file_dir", this.#directory]
    const child = spawn(findServer(), ["-c", file, ...address, ...this.#flags], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...this.#env },
    })
    this.#child = child
    this.#log = ""
    child.stderr.on("data", (chunk: Buffer) => (this.#log = `${this.#log}${chunk.toString()}`.slice(-4000)))
    endWithUs(child)
    await this.#ready(child)
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((resolve) => child.once("exit", resolve))
    child.kill(signal)
    if (signal !== "SIGSTOP" && signal !== "SIGCONT") await exited
  }

  async stop(): Promise<void> {
    await this.kill("SIGCONT")
    await this.kill("SIGKILL")
    await rm(this.#directory, { recursive: true, force: true })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** The server writes this file once it listens. */
  async #ready(child: ChildProcess): Promise<void> {
    const portsFile = join(this.#directory, `nats-server_${child.pid}.ports`)
    const deadline = Date.now() + START_MS_MAX
    while (!existsSync(portsFile)) {
      if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline)
        throw new Error(`nats-server did not start; the end of its log:\n${this.#log}`)
      await sleep(10)
    }
  }
}

function ancestors(directory: string): ReadonlyArray<string> {
  const parent = dirname(directory)
  return parent === directory ? [directory] : [directory, ...ancestors(parent)]
}

function isNewEnough(file: string): boolean {
  const { stdout } = spawnSync(file, ["--version"], { encoding: "utf8" })
  const found = /v(\d+)\.(\d+)\.(\d+)/.exec(stdout ?? "")
  if (found === null) return false
  const wanted = SERVER_VERSION_MIN.split(".").map(Number)
  for (const [i, want] of wanted.entries()) {
    const have = Number(found[i + 1])
    if (have !== want) return have > want
  }
  return true
}
