import { type Chosen, flat, type Told } from "./chosen.ts"
import { durationMs, KINDS, textOf } from "./otlp.ts"
import { PATIENCE, RATIO, type Sampling } from "./sampling.ts"
import { STYLE } from "./style.ts"

/** The page about a run's traces, in one file: it loads nothing, and needs no script. */
export function pageOf(
  chosen: ReadonlyArray<Chosen>,
  sampling: Pick<Sampling, "calls" | "sampled" | "raisedFor">,
): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Departures: three calls, traced</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>Three calls, traced</h1>
<p>From one run of the departures sample: 20,000 flights, three replica processes, f&nbsp;=&nbsp;1.</p>
</header>
<nav aria-label="Calls"><ol>${chosen.map(({ title }, i) => `<li><a href="#call-${i}">${escaped(title)}</a></li>`).join("")}</ol></nav>
<main>
${chosen.map(section).join("\n")}
<section aria-labelledby="sampling">
<h2 id="sampling">What was sampled, and how to read this</h2>
${samplingOf(sampling)}
<p>Each row is one span. Its bar lies where it began and ended, on the scale above it; open a row for its attributes. Rows are
indented below what caused them. A striped bar is of a replica whose answer differs from that of the others. Times are of the processes' own clocks, on
one machine. All sampled spans are in <code>spans.json</code>, beside this file.</p>
</section>
</main>
</body>
</html>
`
}

function samplingOf({
  calls,
  sampled,
  raisedFor,
}: Pick<Sampling, "calls" | "sampled" | "raisedFor">): string {
  const raised =
    raisedFor.size === 0
      ? "That was not needed in this run."
      : `In this run that was so for: ${[...raisedFor].map((sought) => `lockstep.votes.${sought}`).join(", ")}.`
  return `<p>${count(sampled)} of ${count(calls)} calls were sampled: ${RATIO * 100} %, by the id of the trace, decided where the call begins. While a dissent, and
then a missing vote, is looked for, every call is sampled from the ${count(PATIENCE + 1)}st on until one is found. ${raised}</p>`
}

function section({ title, why, call }: Chosen, index: number): string {
  const heading = `<h2 id="call-${index}">${escaped(title)}</h2><p>${escaped(why)}</p>`
  const open = `<section aria-labelledby="call-${index}">${heading}`
  if (call === undefined) return `${open}<p><strong>There was none in this run.</strong></p></section>`
  const all = flat(call)
  const scale = scaleOf(all)
  const odd = oddReplicas(all)
  const told = [...new Set(all.map(({ replica }) => replica))].filter(Boolean).toSorted()
  const { attributes, traceId } = call.span
  const vote = (of: string): string => textOf(attributes, `lockstep.votes.${of}`) || "0"
  const facts: ReadonlyArray<readonly [string, string]> = [
    ["Duration", ms(durationMs(call.span))],
    [
      "Votes when it was decided",
      `${vote("match")} equal, ${vote("dissent")} different, ${vote("missing")} missing; ${textOf(attributes, "lockstep.quorum.required")} of ${textOf(attributes, "lockstep.replicas")} were needed`,
    ],
    ["Replicas that told of it", told.join(", ") || "none"],
    ...(odd.size === 0 ? [] : [["With a different answer", [...odd].join(", ")] as const]),
    ["Trace", traceId],
  ]
  return `${open}
<dl class="facts">${facts.map(([term, text]) => `<div><dt>${term}</dt><dd>${escaped(text)}</dd></div>`).join("")}</dl>
<div class="scale" aria-hidden="true"><span>0</span><span>${ms(scale.spanMs / 2)}</span><span>${ms(scale.spanMs)}</span></div>
<ol class="spans" aria-label="Spans of: ${escaped(title)}">${row(call, { scale, odd, depth: 0 })}</ol>
</section>`
}

interface Scale {
  readonly from: bigint
  readonly spanMs: number
}

/** From the first begin to the last end: replicas may execute a call after it was decided. */
function scaleOf(all: ReadonlyArray<Told>): Scale {
  const from = all.map(({ span }) => BigInt(span.startTimeUnixNano)).reduce((a, b) => (a < b ? a : b))
  const until = all.map(({ span }) => BigInt(span.endTimeUnixNano)).reduce((a, b) => (a > b ? a : b))
  return { from, spanMs: Math.max(Number(until - from) / 1e6, 0.001) }
}

/** Replicas whose answer is not that of the most. */
function oddReplicas(all: ReadonlyArray<Told>): ReadonlySet<string> {
  const processed = all.filter(({ span }) => textOf(span.attributes, DIGEST) !== "")
  const byDigest = [...Map.groupBy(processed, ({ span }) => textOf(span.attributes, DIGEST)).values()]
  const [most = [], ...rest] = byDigest.toSorted((a, b) => b.length - a.length)
  return new Set(
    rest
      .filter((group) => group.length < most.length)
      .flatMap((group) => group.map(({ replica }) => replica)),
  )
}

function row(
  { span, service, replica, below }: Told,
  at: { readonly scale: Scale; readonly odd: ReadonlySet<string>; readonly depth: number },
): string {
  const { scale, odd, depth } = at
  const beginMs = Number(BigInt(span.startTimeUnixNano) - scale.from) / 1e6
  const lastsMs = durationMs(span)
  const percent = (value: number): string => `${((value / scale.spanMs) * 100).toFixed(2)}%`
  const isOdd = odd.has(replica) && textOf(span.attributes, DIGEST) !== ""
  const who = replica === "" ? service : `replica ${replica}`
  const kind = KINDS[span.kind] ?? ""
  const remark = isOdd ? `<strong class="remark">different answer</strong>` : ""
  const label = `${span.name}, ${who}, begins at ${ms(beginMs)}, lasts ${ms(lastsMs)}${isOdd ? ", different answer" : ""}`
  const details = [
    ["kind", kind],
    ["begins at", ms(beginMs)],
    ["span", span.spanId],
    ...span.attributes.map(({ key }) => [key, textOf(span.attributes, key)]),
  ]
  const side = replica === "" ? "caller" : "replica"
  return `<li><details style="--depth:${depth}"><summary aria-label="${escaped(label)}">
<span class="name">${escaped(span.name)}</span><span class="who">${escaped(who)} ${remark}</span>
<span class="track"><span class="bar ${side}${isOdd ? " odd" : ""}" style="left:min(${percent(beginMs)}, 100% - 3px);width:${percent(lastsMs)}"></span></span>
<span class="lasts">${ms(lastsMs)}</span></summary>
<table><caption>Attributes of ${escaped(span.name)}, ${escaped(who)}</caption><tbody>${details.map(([key = "", value = ""]) => `<tr><th scope="row">${escaped(key)}</th><td>${escaped(value)}</td></tr>`).join("")}</tbody></table></details>
${below.length === 0 ? "" : `<ol>${below.map((child) => row(child, { scale, odd, depth: depth + 1 })).join("")}</ol>`}</li>`
}

const DIGEST = "lockstep.output.digest"

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 1)} ms`
}

function count(value: number): string {
  return value.toLocaleString("en-US")
}

function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
}
