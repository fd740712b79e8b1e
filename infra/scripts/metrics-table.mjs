// Writes the table of metrics into docs/telemetry.md, as framework/runtime/src/telemetry/metrics.ts says them. A test compares the two.
import { readFileSync, writeFileSync } from "node:fs"
import { METRICS } from "../../framework/runtime/src/telemetry/metrics.ts"

const page = new URL("../../docs/telemetry.md", import.meta.url)
const quoted = (name) => `\`${name}\``
const row = (cells) => `| ${cells.join(" | ")} |`

const table = [
  row(["metric", "kind", "unit", "attributes", "meaning"]),
  row(["---", "---", "---", "---", "---"]),
  ...Object.values(METRICS).map(({ name, kind, unit, attributes, meaning }) =>
    row([quoted(name), kind, quoted(unit), attributes.map(quoted).join(" "), meaning]),
  ),
]

const lines = readFileSync(page, "utf8").split("\n")
const section = lines.indexOf("## Metrics")
const isRow = (line) => line.startsWith("|")
const first = lines.findIndex((line, i) => i > section && isRow(line))
const end = lines.findIndex((line, i) => i > first && !isRow(line))
if (section === -1 || first === -1 || end === -1) throw new Error("docs/telemetry.md has no table of metrics")
writeFileSync(page, [...lines.slice(0, first), ...table, ...lines.slice(end)].join("\n"))
