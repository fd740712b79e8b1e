import { ROOT_CONTEXT } from "@opentelemetry/api"
import { type ReadableSpan, SamplingDecision } from "@opentelemetry/sdk-trace"
import { describe, expect, it } from "vitest"
import { PATIENCE, Sampling } from "../src/tracing/sampling.ts"

/** Of a trace that 2 % leave out, whatever the run. */
const LEFT_OUT = "f".repeat(8).padEnd(32, "0")
const isSampled = (sampling: Sampling): boolean =>
  sampling.shouldSample(ROOT_CONTEXT, LEFT_OUT).decision === SamplingDecision.RECORD_AND_SAMPLED
const ended = (attributes: Readonly<Record<string, number>>): ReadableSpan =>
  ({ attributes }) as unknown as ReadableSpan // all that is read of it

describe("sampling", () => {
  it("keeps to its ratio while nothing is looked for", () => {
    const sampling = new Sampling()
    expect(Array.from({ length: 2 * PATIENCE }, () => isSampled(sampling))).not.toContain(true)
    expect(sampling).toMatchObject({ calls: 2 * PATIENCE, sampled: 0, raisedFor: new Set() })
  })

  it("samples every call when what is looked for has not come, and only until it comes", () => {
    const sampling = new Sampling()
    sampling.seek("dissent")
    expect(Array.from({ length: PATIENCE }, () => isSampled(sampling))).not.toContain(true)
    expect(isSampled(sampling)).toBe(true)
    sampling.onEnd(ended({ "lockstep.votes.dissent": 0, "lockstep.votes.missing": 1 }))
    expect(isSampled(sampling)).toBe(true)
    sampling.onEnd(ended({ "lockstep.votes.dissent": 1 }))
    expect(isSampled(sampling)).toBe(false)
    expect(sampling).toMatchObject({ sampled: 2, raisedFor: new Set(["dissent"]) })
  })
})
