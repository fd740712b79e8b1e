import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { freePorts } from "@lockstep/nats"
import { endWithUs } from "lockstep/develop"
import { root } from "../source.ts"

/** Where a collector is that can be started, or why there is none. Nothing is built for it. */
export function findCollector(): { readonly file: string; readonly why: string } {
  const script = join(root, "infra", "scripts", "get-collector.mjs")
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, "--cached"], { encoding: "utf8" })
  if (status !== 0) throw new Error(stderr)
  return { file: stdout.trim(), why: stderr.trim() }
}

/** A collector that runs infra/otel/collector.yaml, on ports of its own, and tells a receiver what it keeps. */
export class Collector implements AsyncDisposable {
  readonly url: string
  readonly #child: ChildProcess
  #log = ""

  private constructor(child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
    child.stderr?.on("data", (text: Buffer) => (this.#log += text.toString()))
    endWithUs(child)
  }

  static async start(
    file: string,
    { to, keptPercent }: { readonly to: string; readonly keptPercent: number },
  ): Promise<Collector> {
    const [http, grpc] = await freePorts(2)
    const over = [
      `receivers::otlp::protocols::http::endpoint: 127.0.0.1:${http}`,
      `receivers::otlp::protocols::grpc::endpoint: 127.0.0.1:${grpc}`,
      // a test need not wait as long as the slowest call lasts
      "processors::tail_sampling::decision_wait: 2s",
      // of itself it says nothing: that would be at a port of everybody's
      "service::telemetry::metrics::level: none",
    ]
    const config = join(root, "infra", "otel", "collector.yaml")
    const child = spawn(
      file,
      [config, ...over.map((text) => `yaml:${text}`)].map((each) => `--config=${each}`),
      {
        stdio: ["ignore", "ignore", "pipe"],
        env: {
          ...process.env,
          LOCKSTEP_TRACES_URL: `${to}/v1/traces`,
          LOCKSTEP_METRICS_URL: `${to}/v1/metrics`,
          LOCKSTEP_LOGS_URL: `${to}/v1/logs`,
          LOCKSTEP_KEPT_PERCENT: `${keptPercent}`,
        },
      },
    )
    const collector = new Collector(child, `http://127.0.0.1:${http}`)
    while (!(await collector.#listens())) await sleep(20)
    return collector
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isRunning) return
    const exited = new Promise((resolve) => this.#child.once("exit", resolve))
    this.#child.kill("SIGKILL")
    await exited
  }

  get #isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  async #listens(): Promise<boolean> {
    if (!this.#isRunning) throw new Error(`the collector has ended: ${this.#log}`)
    try {
      await (await fetch(this.url)).body?.cancel()
      return true
    } catch {
      return false // not yet
    }
  }
}
