import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { root } from "../source.ts"
import { Receiver } from "../telemetry/receiver.ts"

const program = join(root, "samples", "03-departures", "dist", "main.js")
const chromium = (process.env["PATH"] ?? "")
  .split(delimiter)
  .map((folder) => join(folder, "chromium"))
  .find((file) => existsSync(file))

interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly attributes: ReadonlyArray<{ readonly key: string; readonly value: { readonly intValue?: number } }>
}

let folder = ""
let output = { code: -1, out: "", errors: "" }
let spans: ReadonlyArray<Span> = []
let page = ""

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lockstep-traces-"))
  output = await run(process.execPath, [program, "--json", "--trace-out", folder])
  const document: {
    resourceSpans: ReadonlyArray<{ scopeSpans: ReadonlyArray<{ spans: ReadonlyArray<Span> }> }>
  } = JSON.parse(await readFile(join(folder, "spans.json"), "utf8"))
  spans = document.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans))
  page = await readFile(join(folder, "trace.html"), "utf8")
}, 180_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

describe("the departures sample, traced into a folder", () => {
  it("does what it does otherwise, and says where its traces are", () => {
    expect(output).toMatchObject({ code: 0, errors: expect.not.stringContaining("Error") })
    expect(JSON.parse(output.out)).toMatchObject({
      ok: true,
      traces: { spans: join(folder, "spans.json"), page: join(folder, "trace.html") },
    })
  })

  it("writes few spans, and none twice", () => {
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(spans.length)
    expect(spans.length).toBeGreaterThan(0)
    // 2 % of the calls make 4,000; raised for a while, at most some thousands more
    expect(spans.length).toBeLessThan(60_000)
  })

  it("shows three calls with all of their spans: the slowest, one with a dissent, one that a killed replica missed", () => {
    const traces = tracesIn(page)
    expect(new Set(traces).size).toBe(3)
    const shown = new Set(
      [...page.matchAll(/<th scope="row">span<\/th><td>([0-9a-f]{16})</g)].map(([, id]) => id),
    )
    const wanted = traces.map((trace) => spans.filter(({ traceId }) => traceId === trace))
    expect(shown).toEqual(new Set(wanted.flat().map(({ spanId }) => spanId)))
    const [slowest = [], dissent = [], missing = []] = wanted
    // the slowest may be one of those that ask for a board, all at once
    expect(names(slowest)).toEqual(expect.arrayContaining(["send", "vote", "process", "apply"]))
    for (const trace of [dissent, missing])
      expect(names(trace)).toEqual(expect.arrayContaining(["depart", "send", "vote", "process", "apply"]))
    expect(rootsOf(slowest)).toHaveLength(1)
    expect(count(dissent, "process")).toBe(3)
    expect(votes(dissent, "dissent")).toBe(1)
    // r1 was dead, and tells nothing of what it replays
    expect(count(missing, "process")).toBe(2)
    expect(votes(missing, "missing")).toBe(1)
  })

  it("writes a page that loads nothing, and is structured for who does not see it", () => {
    expect(page).not.toMatch(/<script|<link|<img|@import|url\(|https?:/)
    expect(page).toContain('<html lang="en">')
    expect(page.match(/<h1/g)).toHaveLength(1)
    const headings = new Set([...page.matchAll(/<h2 id="([^"]+)"/g)].map(([, id]) => id))
    const labelled = [...page.matchAll(/<section aria-labelledby="([^"]+)"/g)].map(([, id]) => id)
    expect([...headings]).toEqual(labelled)
    expect(page.match(/<summary aria-label="[^"]+ lasts [0-9.]+ ms/g)).toHaveLength(
      page.match(/<details/g)?.length ?? 0,
    )
    expect(page).toMatch(/<strong class="remark">different answer<\/strong>/)
  })

  it.skipIf(
    chromium === undefined, // no chromium is on PATH, as may be in CI: the structure is checked above, without a browser
  )("opens in a browser as it was written (needs chromium on PATH)", async () => {
    const profile = join(folder, "profile")
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", `--user-data-dir=${profile}`, "--dump-dom"]
    const { out } = await run(chromium ?? "", [...flags, `file://${join(folder, "trace.html")}`])
    expect(tracesIn(out)).toEqual(tracesIn(page))
    for (const tag of ["section", "details", "summary", "li", "table", "tr", "h2"])
      expect([tag, out.split(`<${tag}`).length]).toEqual([tag, page.split(`<${tag}`).length])
  })
})

describe("the departures sample, traced to an endpoint", () => {
  it("exports spans of its own process and of its replicas, and writes no files", async () => {
    await using receiver = await Receiver.start()
    const { code, out } = await run(process.execPath, [program, "--json", "--trace"], {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_METRICS_EXPORTER: "none",
      OTEL_LOGS_EXPORTER: "none",
    })
    expect(code).toBe(0)
    expect(JSON.parse(out)).not.toHaveProperty("traces")
    const calls = receiver.spans.filter(({ span }) => span.name === "departures/Airport/depart")
    const processed = receiver.spans.filter(({ span }) => span.name === "process cmd.departures.0")
    expect(calls.length).toBeGreaterThan(0)
    expect(new Set(processed.map(({ instance }) => instance))).toEqual(new Set(["r0", "r1", "r2"]))
  })

  it("keeps what the run showed when nobody listens there", async () => {
    const { code, out, errors } = await run(process.execPath, [program, "--json", "--trace"], {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
      OTEL_EXPORTER_OTLP_TIMEOUT: "1000",
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    })
    expect(errors).toContain("not all spans were exported")
    expect({ code, ok: JSON.parse(out).ok }).toEqual({ code: 0, ok: true })
  })
})

describe("the departures sample, asked for traces it cannot make", () => {
  it.each([
    [["--trace"], /OTEL_EXPORTER_OTLP_ENDPOINT.*not set.*--trace-out DIR/],
    [["--trace", "--trace-out", "x"], /choose one/],
    [["--trace-out"], /--trace-out/],
  ])("says what to do: %j", async (flags, message) => {
    const { code, out, errors } = await run(process.execPath, [program, ...flags])
    expect({ code, out }).toEqual({ code: 1, out: "" })
    expect(errors).toMatch(message)
  })
})

function run(
  file: string,
  flags: ReadonlyArray<string>,
  telemetry: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number; readonly out: string; readonly errors: string }> {
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith("OTEL_"))
  const env = { ...Object.fromEntries(others), ...telemetry }
  return new Promise((resolve) => {
    const child = execFile(
      file,
      flags,
      { timeout: 120_000, env, maxBuffer: 16 * 1024 * 1024 },
      (_, out, errors) => resolve({ code: child.exitCode ?? -1, out, errors }),
    )
  })
}

const tracesIn = (html: string): ReadonlyArray<string> =>
  [...html.matchAll(/<dt>Trace<\/dt><dd>([0-9a-f]{32})</g)].map(([, id = ""]) => id)

/** `process cmd.departures.0` is a process; the call itself is named by what it calls. */
function names(trace: ReadonlyArray<Span>): ReadonlyArray<string> {
  return trace.map(
    ({ name }) => (name.includes(" ") ? name.split(" ") : name.split("/").toReversed())[0] ?? "",
  )
}

function count(trace: ReadonlyArray<Span>, name: string): number {
  return names(trace).filter((other) => other === name).length
}

function rootsOf(trace: ReadonlyArray<Span>): ReadonlyArray<Span> {
  return trace.filter(({ parentSpanId = "" }) => parentSpanId === "")
}

function votes(trace: ReadonlyArray<Span>, of: string): number {
  const attributes = trace.flatMap((span) => span.attributes)
  const attribute = attributes.find(({ key }) => key === `lockstep.votes.${of}`)
  return Number(attribute?.value.intValue ?? -1)
}
