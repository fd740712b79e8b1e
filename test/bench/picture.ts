import { type Axis, axisOf, written, writtenShort } from "./axis.ts"
import { type Bar, type BarGroup, type Chart, LOCKSTEP, PLAIN } from "./chart.ts"
import { plusMinus } from "./table.ts"

/**
 * The charts below each other, as one SVG that stands alone: no script, no font, no style sheet. Every bar has its name and its value
 * beside it in words, so that nothing is said by colour alone; and all of it is in the description, for those who do not see it.
 */
export function draw(
  { title, subtitle }: { readonly title: string; readonly subtitle: string },
  charts: ReadonlyArray<Chart>,
): string {
  const parts: Array<string> = []
  let y = PADDING + 22
  parts.push(text(PADDING, y, "h1", title))
  for (const line of [subtitle, KEY]) parts.push(text(PADDING, (y += 20), "quiet", line))
  y += 18
  for (const chart of charts) {
    const { svg, height } = drawChart(chart, y)
    parts.push(svg)
    y += height
  }
  const height = Math.round(y + PADDING)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title description">`,
    `<title id="title">${escape(title)}</title>`,
    `<desc id="description">${escape(charts.map(inWords).join(" "))}</desc>`,
    `<style>${STYLE}</style>`,
    `<rect class="paper" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n")
}

function drawChart(chart: Chart, top: number): { readonly svg: string; readonly height: number } {
  const { title, groups, unit, better, scale } = chart
  const names = groups.flatMap(({ bars }) => bars.map(({ name }) => name))
  const left = Math.max(LEFT_MIN, PADDING + LETTER * Math.max(0, ...names.map(({ length }) => length)) + 10)
  const axis = axisOf(chart)
  const x = (value: number): number => Math.round(10 * (left + axis.place(value) * (RIGHT - left))) / 10
  const parts: Array<string> = []
  let y = top + 34
  parts.push(text(PADDING, y, "h2", title))
  y += 18
  const scaleSaid = scale === "logarithmic" ? ", on a logarithmic axis" : ""
  parts.push(text(PADDING, y, "quiet", `${better} is better${scaleSaid}`))
  y += 10
  const gridTop = y
  for (const group of groups) {
    if (group.name !== undefined) parts.push(text(PADDING, (y += 20), "group", group.name))
    y += 6
    for (const [i, bar] of group.bars.entries()) {
      parts.push(drawBar(bar, { y, left, x, unit, colour: colourOf(bar, i, group) }))
      y += BAR + 4
    }
  }
  y += 4
  const grid = drawGrid(axis, unit, { x, from: gridTop, to: y })
  return { svg: [grid, ...parts].join("\n"), height: y + 22 - top }
}

function drawGrid(
  { ticks }: Axis,
  unit: Chart["unit"],
  at: { readonly x: (value: number) => number; readonly from: number; readonly to: number },
): string {
  return ticks
    .map((tick) => {
      const x = at.x(tick)
      return [
        `<line class="grid" x1="${x}" x2="${x}" y1="${at.from}" y2="${at.to}"/>`,
        text(x, at.to + 16, "tick", writtenShort(tick, unit)),
      ].join("")
    })
    .join("\n")
}

function drawBar(
  bar: Bar,
  at: {
    readonly y: number
    readonly left: number
    readonly x: (value: number) => number
    readonly unit: Chart["unit"]
    readonly colour: string
  },
): string {
  const { name, value, spread = 0 } = bar
  const [end, low, high] = [at.x(value), at.x(value * (1 - spread)), at.x(value * (1 + spread))]
  const middle = at.y + BAR / 2
  const whisker =
    spread > 0
      ? `<path class="whisker" d="M${low} ${middle}H${high}M${low} ${middle - 4}v8M${high} ${middle - 4}v8"/>`
      : ""
  return [
    text(at.left - 8, middle + 4.5, "name", name),
    `<rect class="${at.colour}" x="${at.left}" y="${at.y}" width="${Math.max(1, end - at.left).toFixed(1)}" height="${BAR}" rx="2"/>`,
    whisker,
    text(Math.max(end, high) + 7, middle + 4.5, "value", said(bar, at.unit)),
  ].join("")
}

/** Who is in many charts has a colour; others are told apart within their group, where it has a name for what they are of. */
function colourOf({ name }: Bar, index: number, group: BarGroup): string {
  const isOurs = (bar: Bar): boolean => bar.name.startsWith(LOCKSTEP)
  if (name === PLAIN) return "c0"
  if (name.startsWith(LOCKSTEP)) return "c1"
  if (group.name === undefined) return group.bars.some(isOurs) ? "c2" : "c1"
  return `c${2 + (index % (COLOURS.length - 2))}`
}

function said({ value, spread = 0 }: Bar, unit: Chart["unit"]): string {
  return spread > 0 ? `${written(value, unit)} ${plusMinus(spread)}` : written(value, unit)
}

/** A chart for somebody who does not see it. */
function inWords({ title, groups, unit, better }: Chart): string {
  const told = groups.map(
    ({ name, bars }) =>
      `${name === undefined ? "" : `${name}: `}${bars.map((bar) => `${bar.name}: ${said(bar, unit)}`).join(", ")}.`,
  )
  return `${title} (${better} is better). ${told.join(" ")}`
}

function text(x: number, y: number, kind: string, content: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${escape(content)}</text>`
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
}

const WIDTH = 880
const PADDING = 24
/** Where bars begin, where their names are short. */
const LEFT_MIN = 130
/** Where the longest bar ends: values are written behind it. */
const RIGHT = 700
const BAR = 16
/** How wide a letter of a bar's name is, about. */
const LETTER = 7.4
const KEY = "Bars are medians of rounds; half of the rounds lie between the ends of the thin lines."

/** On white and on black; can be told apart without red or green (after Okabe and Ito), each at 3 : 1 with the paper at least. */
const COLOURS = [
  ["#6b7280", "#9aa3b2"],
  ["#0072b2", "#56b4e9"],
  ["#b45f06", "#e69f00"],
  ["#00795a", "#2fc79a"],
  ["#a3487f", "#dd8fbc"],
  ["#5b4bb3", "#a79bf0"],
] as const

const STYLE = [
  `text{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}`,
  ".h1{font-size:19px;font-weight:600}.h2{font-size:15px;font-weight:600}.group{font-weight:600}",
  ".name{text-anchor:end}.value{font-variant-numeric:tabular-nums}.tick{text-anchor:middle}",
  ".group,.value{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}",
  ".quiet,.tick{font-size:12px;fill:#57606a}",
  ".paper{fill:#fff;stroke:#d0d7de}.grid{stroke:#d8dee4}.whisker{stroke:#1f2328;stroke-width:1.5;fill:none}",
  ...COLOURS.map(([light], i) => `.c${i}{fill:${light}}`),
  "@media (prefers-color-scheme:dark){",
  "text{fill:#e6edf3}.quiet,.tick{fill:#9da7b3}.paper{fill:#0d1117;stroke:#30363d}.grid{stroke:#2b323b}.whisker{stroke:#e6edf3}",
  ".group,.value{stroke:#0d1117}",
  ...COLOURS.map(([, dark], i) => `.c${i}{fill:${dark}}`),
  "}",
].join("")
