import type { Chart } from "./chart.ts"

/** What one subject of the bench found: one table, and all that is in it as numbers. */
export interface Table {
  readonly title: string
  /** How it was measured: sizes, counts, and what is done in this process where that is more exact. */
  readonly settings: Readonly<Record<string, string | number>>
  readonly columns: ReadonlyArray<Column>
  readonly rows: ReadonlyArray<Row>
  /** What the figures say in a sentence, and what was not measured, and why. */
  readonly notes?: ReadonlyArray<string>
  /** What of it is worth a picture. */
  readonly charts?: ReadonlyArray<Chart>
}

export interface Column {
  readonly title: string
  /** Of a figure in `rows`: its unit is at its end. */
  readonly figure: string
  readonly format: (value: number) => string
}

/** Figures that are not there were not measured. */
export interface Row {
  readonly name: string
  readonly figures: Readonly<Record<string, number | undefined>>
}

/** The table as text, in the columns of a terminal. */
export function render({ title, settings, columns, rows, notes = [] }: Table): string {
  const nameWidth = Math.max(title.length, ...rows.map(({ name }) => name.length)) + 2
  const cells = rows.map(({ figures }) =>
    columns.map(({ figure, format }) => {
      const value = figures[figure]
      return value === undefined ? "–" : format(value)
    }),
  )
  const widths = columns.map((column, i) =>
    Math.max(column.title.length, ...cells.map((row) => row[i]?.length ?? 0)),
  )
  const line = (name: string, texts: ReadonlyArray<string>): string =>
    `  ${name.padEnd(nameWidth)}${texts.map((text, i) => text.padStart((widths[i] ?? 0) + 2)).join("")}`
  return [
    line(
      title,
      columns.map((column) => column.title),
    ),
    ...rows.map(({ name }, i) => line(name, cells[i] ?? [])),
    "",
    ...Object.entries(settings).map(([name, value]) => `  ${name.padEnd(24)}${value}`),
    ...notes.map((note) => `  ${note}`),
    "",
  ].join("\n")
}

export const count = (value: number): string => Math.round(value).toLocaleString("en-US")
export const ratio = (value: number): string => value.toFixed(2)
export const milliseconds = (value: number): string => `${value.toFixed(value < 100 ? 2 : 0)} ms`
export const microseconds = (value: number): string => `${value.toFixed(1)} µs`
/** `±8 %`. */
export const plusMinus = (share: number): string => `±${Math.round(100 * share)} %`

/** `1.5 MB`: thousands, not 1024s. */
export function bytes(value: number): string {
  for (const [unit, size] of UNITS) if (Math.abs(value) >= size) return `${(value / size).toFixed(1)} ${unit}`
  return `${value.toFixed(0)} B`
}

const UNITS = [
  ["GB", 1e9],
  ["MB", 1e6],
  ["kB", 1e3],
] as const
