import type { Context } from "@opentelemetry/api"
import {
  type ReadableSpan,
  type Sampler,
  SamplingDecision,
  type SamplingResult,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace"

export const RATIO = 0.02
/** So many calls are made while something is looked for, before every call is sampled until it is found. */
export const PATIENCE = 1000

/** What the page wants to show a call of. */
export type Sought = "dissent" | "missing"

/**
 * Decides which calls are traced: 2 % of them, by the trace's id. Where one of a certain kind is looked for, and none of the
 * first 1,000 sampled so was of that kind, every call is sampled until there is one. It sees the ended spans of this process.
 */
export class Sampling implements Sampler, SpanProcessor {
  calls = 0
  sampled = 0
  /** What could not be found at 2 %. */
  readonly raisedFor = new Set<Sought>()
  readonly #ratio = new TraceIdRatioBasedSampler(RATIO)
  #sought: Sought | undefined
  #sinceSought = 0

  seek(sought: Sought | undefined): void {
    this.#sought = sought
    this.#sinceSought = 0
  }

  shouldSample(context: Context, traceId: string): SamplingResult {
    this.calls++
    const isRaised = this.#sought !== undefined && ++this.#sinceSought > PATIENCE
    if (isRaised && this.#sought !== undefined) this.raisedFor.add(this.#sought)
    const result = isRaised
      ? { decision: SamplingDecision.RECORD_AND_SAMPLED }
      : this.#ratio.shouldSample(context, traceId)
    if (result.decision === SamplingDecision.RECORD_AND_SAMPLED) this.sampled++
    return result
  }

  onEnd({ attributes }: ReadableSpan): void {
    if (this.#sought !== undefined && Number(attributes[`lockstep.votes.${this.#sought}`] ?? 0) > 0)
      this.#sought = undefined
  }

  onStart(): void {
    // only what has ended says how the vote went
  }

  forceFlush(): Promise<void> {
    return Promise.resolve()
  }

  shutdown(): Promise<void> {
    return Promise.resolve()
  }
}
