import * as core from "@lockstep/core"
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { parse } from "yaml"
import { type Metric, METRICS, REPLICA_STATES } from "../framework/runtime/src/telemetry/metrics.ts"
import { ATTRIBUTES } from "../framework/runtime/src/telemetry/names.ts"
import { NO_EVENTS, NO_REJOINS, ROLES } from "../framework/runtime/src/telemetry/seat-metrics.ts"

const read = (file: string): string => readFileSync(new URL(`../infra/${file}`, import.meta.url), "utf8")

/** What Prometheus calls a name that comes by OTLP. */
const underscored = (name: string): string => name.replaceAll(".", "_")

/** Units that are part of a name there; what is in braces is none. */
const UNITS: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes" }

/** The series of a metric, as OTLP is translated by default. */
function seriesOf({ name, kind, unit }: Metric): ReadonlyArray<string> {
  const base = underscored(name) + (UNITS[unit] ?? "")
  switch (kind) {
    case "histogram":
      return ["_bucket", "_count", "_sum"].map((suffix) => base + suffix)
    case "counter":
      return [`${base}_total`]
    case "gauge":
      return [base]
  }
}

/** The labels of every series. */
const labels = new Map<string, ReadonlySet<string>>(
  Object.values(METRICS).flatMap((metric) =>
    seriesOf(metric).map((series) => [
      series,
      new Set([...metric.attributes.map(underscored), ...(series.endsWith("_bucket") ? ["le"] : [])]),
    ]),
  ),
)
const everyLabel: ReadonlySet<string> = new Set([
  "le",
  ...Object.values(METRICS).flatMap(({ attributes }) => attributes.map(underscored)),
])

/** What a label may say, where that is known. */
const said: Readonly<Record<string, ReadonlySet<string>>> = {
  [underscored(ATTRIBUTES.state)]: new Set(REPLICA_STATES),
  [underscored(ATTRIBUTES.role)]: new Set(ROLES),
  [underscored(ATTRIBUTES.event)]: new Set(Object.keys(NO_EVENTS)),
  [underscored(ATTRIBUTES.reason)]: new Set(Object.keys(NO_REJOINS)),
  [underscored(ATTRIBUTES.errorType)]: new Set(Object.keys(core)),
  [underscored(ATTRIBUTES.rpcSystem)]: new Set(["lockstep"]),
}

/** What an expression asks for, and nobody says. */
function unknownIn(expression: string): ReadonlyArray<string> {
  const found: Array<string> = []
  const bare = expression
    .replaceAll(/([a-z_]+)\{([^}]*)\}/g, (_, series: string, selectors: string) => {
      for (const [, label = "", value = ""] of selectors.matchAll(
        /([a-z_]+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"/g,
      )) {
        if (labels.get(series)?.has(label) !== true) found.push(`${series}{${label}}`)
        const alternatives = value === "" || value.startsWith("$") ? [] : value.split("|")
        const known = said[label] ?? new Set(alternatives)
        found.push(...alternatives.filter((each) => !known.has(each)).map((each) => `${label}="${each}"`))
      }
      return series
    })
    .replaceAll(/\b(?:by|on)\s*\(([^)]*)\)/g, (_, list: string) => {
      const listed = list.split(",").map((label) => label.trim())
      found.push(...listed.filter((label) => !everyLabel.has(label)))
      return ""
    })
  const named = [...bare.matchAll(/\b(?:lockstep|rpc)_[a-z_]+/g)].map(([name]) => name)
  if (named.length === 0) found.push(`no metric in ${expression}`)
  return [...found, ...named.filter((name) => !labels.has(name))]
}

/** Labels that a text is filled in with. */
function unknownLabels(text: string): ReadonlyArray<string> {
  const filled = [...text.matchAll(/\{\{\s*(?:\$labels\.)?([a-z_]+)[^}]*\}\}/g)].map(
    ([, label = ""]) => label,
  )
  return filled.filter((label) => !everyLabel.has(label))
}

describe("what reads expressions", () => {
  it.each([
    ["lockstep_replica_stat", "lockstep_replica_stat"],
    ['lockstep_replica_state{lockstep_state="folowing"}', 'lockstep_state="folowing"'],
    ['lockstep_replica_applied{lockstep_state="failed"}', "lockstep_replica_applied{lockstep_state}"],
    ["sum by (lockstep_grup) (lockstep_replica_state)", "lockstep_grup"],
    ["lockstep_replica_commands", "lockstep_replica_commands"],
    ["up == 0", "no metric in up == 0"],
  ])("finds what is wrong in %s", (expression, wrong) => {
    expect(unknownIn(expression)).toEqual([wrong])
  })
})

describe("infra/grafana/alerts.yaml", () => {
  const { groups } = parse(read("grafana/alerts.yaml")) as {
    readonly groups: ReadonlyArray<{ readonly rules: ReadonlyArray<Rule> }>
  }
  const rules = groups.flatMap((group) => group.rules)

  it("asks for nothing that is not measured", () => {
    expect(rules.flatMap(({ alert, expr }) => unknownIn(expr).map((name) => `${alert}: ${name}`))).toEqual([])
    expect(rules.length).toBeGreaterThan(0)
  })

  it("says of each alert how bad it is, and what it means", () => {
    const bare = rules.filter(
      ({ labels: { severity }, annotations: { summary, description } }) =>
        !/^(critical|warning)$/.test(severity) || summary === "" || description === "",
    )
    expect(bare).toEqual([])
    expect(rules.flatMap(({ annotations }) => Object.values(annotations).flatMap(unknownLabels))).toEqual([])
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
  })
})

describe("infra/grafana/lockstep.json", () => {
  const dashboard: Dashboard = JSON.parse(read("grafana/lockstep.json"))
  const targets = dashboard.panels.flatMap((panel) => panel.targets ?? [])

  it("asks for nothing that is not measured", () => {
    expect(targets.flatMap(({ expr }) => unknownIn(expr))).toEqual([])
    expect(targets.flatMap(({ legendFormat }) => unknownLabels(legendFormat))).toEqual([])
    const queries = dashboard.templating.list.flatMap(({ definition }) => definition ?? [])
    expect(
      queries
        .map((query) => query.replace(/^label_values\((.*), (\w+)\)$/, "sum by ($2) ($1)"))
        .flatMap(unknownIn),
    ).toEqual([])
  })

  it("shows everything that is measured", () => {
    const shown = targets.map(({ expr }) => expr).join("\n")
    const hidden = Object.values(METRICS).filter(
      (metric) => !seriesOf(metric).some((series) => new RegExp(`\\b${series}\\b`).test(shown)),
    )
    expect(hidden.map(({ name }) => name)).toEqual([])
  })

  it("puts no panel upon another, and gives each a number of its own", () => {
    const { panels } = dashboard
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
  })
})

describe("infra/otel/collector.yaml", () => {
  const collector = parse(read("otel/collector.yaml")) as Collector

  it("keeps traces by an attribute that there is", () => {
    const { policies } = collector.processors.tail_sampling
    expect(policies.flatMap(({ numeric_attribute: by }) => by?.key ?? [])).toEqual([ATTRIBUTES.votesDissent])
    expect(policies.map(({ type }) => type)).toEqual(["numeric_attribute", "status_code", "probabilistic"])
  })

  it("connects what it defines, and defines nothing else", () => {
    const pipelines = Object.values(collector.service.pipelines)
    for (const part of ["receivers", "processors", "exporters"] as const)
      expect(new Set(pipelines.flatMap((pipeline) => pipeline[part]))).toEqual(
        new Set(Object.keys(collector[part])),
      )
  })

  it("runs in the collector that we build: it has the parts, all of one release", () => {
    const program = read("otel/collector/main.go")
    const modules = read("otel/collector/go.mod")
    const parts = (["receivers", "processors", "exporters"] as const).flatMap((kind) =>
      Object.keys(collector[kind]).map((name) => name.replaceAll("_", "") + kind.slice(0, -1)),
    )
    expect(parts.filter((part) => !program.includes(`${part}.NewFactory()`))).toEqual([])
    expect(parts.length).toBeGreaterThan(0)
    const [, release = ""] = /collector\/otelcol v(\S+)/.exec(modules) ?? []
    expect(program).toContain(`Version: "${release}"`)
    expect(parts.filter((part) => !modules.includes(`/${part} v${release}\n`))).toEqual([])
  })

  it("is told by its environment what its README says", () => {
    const variables = (text: string) => new Set([...text.matchAll(/LOCKSTEP_[A-Z_]+/g)].map(([name]) => name))
    expect(variables(read("otel/README.md"))).toEqual(variables(read("otel/collector.yaml")))
  })
})

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

interface Dashboard {
  readonly panels: ReadonlyArray<{
    readonly id: number
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
    readonly targets?: ReadonlyArray<{ readonly expr: string; readonly legendFormat: string }>
  }>
  readonly templating: { readonly list: ReadonlyArray<{ readonly definition?: string }> }
}

interface Collector {
  readonly receivers: object
  readonly processors: {
    readonly tail_sampling: {
      readonly policies: ReadonlyArray<{
        readonly type: string
        readonly numeric_attribute?: { readonly key: string }
      }>
    }
  }
  readonly exporters: object
  readonly service: {
    readonly pipelines: Readonly<
      Record<string, Readonly<Record<"receivers" | "processors" | "exporters", ReadonlyArray<string>>>>
    >
  }
}
