import { randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { type Context, context, ROOT_CONTEXT, trace, TraceFlags } from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto"
import { resourceFromAttributes } from "@opentelemetry/resources"
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace"
import { type Client, connect, Diverged, LockstepError, NoQuorum, OutcomeUnknown } from "lockstep"
import { afterEach, describe, expect, it } from "vitest"
import { MODES } from "../conformance/modes.ts"
import { walletIn } from "../conformance/wallet.ts"
import { Receiver } from "../telemetry/receiver.ts"
import { wrongIn } from "../telemetry/tree.ts"
import { WalletGroup } from "../telemetry/wallet-group.ts"

const soon = { timeout: 20_000 }

/** Calls that are traced: each has a trace of its own, and is asked for again until there is an answer. */
class Traced {
  /** Ids of spans that others made. */
  readonly outside = new Set<string>()
  /** How often a call was retried, by the id of its trace. */
  readonly retries = new Map<string, number>()
  answered = 0
  #count = 0

  async call(client: Client, made: () => Promise<unknown>): Promise<void> {
    const above = this.#count++ % 2 === 0 ? this.#request() : this.#elsewhere()
    for (let attempt = made; ;)
      try {
        await context.with(above, attempt)
        break
      } catch (error) {
        attempt = this.#after(error, { client, made, above })
      }
    trace.getSpan(above)?.end()
    this.answered++
  }

  async progress(calls: number): Promise<void> {
    const goal = this.answered + calls
    await expect.poll(() => this.answered, soon).toBeGreaterThanOrEqual(goal)
  }

  /** What was not executed is called anew; what may have been is asked for. */
  #after(
    error: unknown,
    { client, made, above }: { client: Client; made: () => Promise<unknown>; above: Context },
  ): () => Promise<unknown> {
    if (error instanceof LockstepError && error.tookEffect === "no") return made
    if (!isUndecided(error)) throw error
    const id = trace.getSpanContext(above)?.traceId ?? ""
    this.retries.set(id, (this.retries.get(id) ?? 0) + 1)
    return () => client.retry(error)
  }

  #request(): Context {
    return trace.setSpan(ROOT_CONTEXT, trace.getTracer("test").startSpan("a request"))
  }

  /** Below a span of somebody who exports to somebody else. */
  #elsewhere(): Context {
    const spanId = randomBytes(8).toString("hex")
    this.outside.add(spanId)
    const traceId = randomBytes(16).toString("hex")
    return trace.setSpanContext(ROOT_CONTEXT, {
      traceId,
      spanId,
      traceFlags: TraceFlags.SAMPLED,
      isRemote: true,
    })
  }
}

function isUndecided(error: unknown): error is NoQuorum | OutcomeUnknown | Diverged {
  return error instanceof NoQuorum || error instanceof OutcomeUnknown || error instanceof Diverged
}

/** What this process tells is exported as a replica's is. */
function tracing(url: string): TracerProvider {
  const exporter = new OTLPTraceExporter({ url: `${url}/v1/traces` })
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.instance.id": "caller" }),
    spanProcessors: [new BatchSpanProcessor({ exporter, maxQueueSize: 100_000 })],
  })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider(provider)
  return provider
}

afterEach(() => {
  trace.disable()
  context.disable()
})

/** Replicas that may crash make the same tree as those that may lie. */
const SETTINGS = Object.entries(MODES).filter(([name]) => name !== "state machine, replicas may crash")

describe.each(SETTINGS)("%s", (name, mode) => {
  it("is told of in one tree for each call, and nothing twice, while replicas are killed and replay, and calls are retried", async () => {
    await using receiver = await Receiver.start()
    await using group = await WalletGroup.start({ mode: name, to: receiver.url })
    const provider = tracing(receiver.url)
    const actor = walletIn(mode)
    const client = await connect({ servers: group.server.url })
    const hasty = await connect({ servers: group.server.url, limits: { deadlineMs: 400 } })
    const traced = new Traced()
    const stop = new AbortController()
    await traced.call(hasty, () => hasty.actor(actor, "late").deposit(1n))
    const paying = [0, 1, 2].map(async (i) => {
      const wallet = client.actor(actor, `w${i}`)
      for (; !stop.signal.aborted; await sleep(15)) await traced.call(client, () => wallet.deposit(1n))
    })
    await traced.progress(60)

    // the master first, where there is one; the last one can say good-bye
    for (const [index, victim] of (await group.inOrder()).entries()) {
      await group.end(victim, index === 2 ? "stop" : "kill")
      await traced.progress(30)
      await group.begin(victim)
    }
    // nobody answers in time, and then everybody does
    for (const replica of group.replicas) replica.pause()
    const late = traced.call(hasty, () => hasty.actor(actor, "late").deposit(1n))
    await expect.poll(() => traced.retries.size, soon).toBeGreaterThan(0)
    for (const replica of group.replicas) replica.resume()
    await late
    // the log's server forgets nothing but what it has not answered yet
    await group.server.restart()
    await traced.progress(30)
    stop.abort()
    await Promise.all(paying)
    await client.close()
    await hasty.close()
    await group.stopAll()
    await provider.shutdown()

    const { lives } = group
    const { outside, retries } = traced
    const wrong = wrongIn({
      spans: receiver.spans,
      lives,
      outside,
      retries,
      isVoted: mode.execution !== "once",
    })
    expect(wrong).toEqual([])
    expect(receiver.refused).toEqual([])
    expect(receiver.spans.length).toBeGreaterThan(traced.answered)
  }, 120_000)
})
