import { CLIENT, durationMs, ERROR, type ResourceSpans, type Span, textOf } from "./otlp.ts"

/** A span, and who made it. */
export interface Told {
  readonly span: Span
  readonly service: string
  /** Of a replica: its name. */
  readonly replica: string
  /** What hangs below it, by the time of its begin. */
  readonly below: ReadonlyArray<Told>
}

/** A call that the page shows. */
export interface Chosen {
  readonly title: string
  /** Why this one, of all that were sampled. */
  readonly why: string
  /** The call, with all that hangs below it; undefined where no call of that kind was sampled. */
  readonly call: Told | undefined
}

export interface Outage {
  readonly replica: string
  readonly fromMs: number
  readonly untilMs: number
}

/** Three calls that say most about a run: the slowest, one that a replica dissented from, one that a replica was dead for. */
export function choose(processes: ReadonlyArray<ResourceSpans>, outage: Outage): ReadonlyArray<Chosen> {
  const told = processes.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({ span, service: textOf(resource.attributes, "service.name"), resource })),
    ),
  )
  const parents = Map.groupBy(told, ({ span }) => span.parentSpanId ?? "")
  const treeOf = ({ span, service, resource }: (typeof told)[number]): Told => ({
    span,
    service,
    replica: service === "lockstep-replica" ? textOf(resource.attributes, "service.instance.id") : "",
    below: (parents.get(span.spanId) ?? []).map(treeOf).toSorted(byBegin),
  })
  const calls = told
    .filter(({ span }) => span.kind === CLIENT && span.status.code !== ERROR)
    .map(treeOf)
    .toSorted(byBegin)
  // those that are traced because of a dissent hang below a span that was not sampled
  const sampled = calls.filter(({ span }) => (span.parentSpanId ?? "") === "")
  const slowest = sampled.toSorted((a, b) => durationMs(b.span) - durationMs(a.span))[0]
  const others = calls.filter((call) => call !== slowest)
  const dissented = others.filter((call) => votes(call, "dissent") > 0)
  const duringOutage = others.filter(
    (call) =>
      votes(call, "missing") > 0 &&
      startMs(call) >= outage.fromMs &&
      startMs(call) <= outage.untilMs &&
      !flat(call).some(({ replica }) => replica === outage.replica),
  )
  return [
    {
      title: "The slowest call",
      why: `The slowest of the ${sampled.length.toLocaleString("en-US")} sampled calls that got an answer. A call that was not sampled may have been slower.`,
      call: slowest,
    },
    {
      title: "A call that a replica answered wrongly",
      why: `The first of ${dissented.length.toLocaleString("en-US")} traced calls that a replica was known to have answered wrongly when their spans were made (lockstep.votes.dissent above 0). Most of them were not sampled: they are traced because of the wrong answer.`,
      call: dissented[0],
    },
    {
      title: `A call while ${outage.replica} was killed`,
      why: `The first of ${duringOutage.length.toLocaleString("en-US")} sampled calls that began between the kill of ${outage.replica} and its return, were decided without one vote at least (lockstep.votes.missing above 0), and that ${outage.replica} told nothing of.`,
      call: duringOutage[0],
    },
  ]
}

/** A span, and all below it. */
export function flat(told: Told): ReadonlyArray<Told> {
  return [told, ...told.below.flatMap(flat)]
}

/** How many there were, when the call was decided. */
function votes({ span }: Told, of: "dissent" | "missing"): number {
  return Number(textOf(span.attributes, `lockstep.votes.${of}`))
}

function startMs({ span }: Told): number {
  return Number(BigInt(span.startTimeUnixNano) / 1000n) / 1000
}

function byBegin(a: Told, b: Told): number {
  return Number(BigInt(a.span.startTimeUnixNano) - BigInt(b.span.startTimeUnixNano))
}
