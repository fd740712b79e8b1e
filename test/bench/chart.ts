/** A picture of what a subject found: bars in groups. All of it is data, so that it can be drawn later, from what --json printed. */
export interface Chart {
  readonly title: string
  readonly unit: Unit
  readonly better: "more" | "less"
  /** Where values differ by more than a hundred times, short bars could not be told apart on a linear axis. */
  readonly scale: "linear" | "logarithmic"
  readonly groups: ReadonlyArray<BarGroup>
}

export type Unit = "milliseconds" | "calls per second" | "bytes per second" | "times"

export interface BarGroup {
  /** What its bars are of. None where that is in the chart's title. */
  readonly name?: string
  readonly bars: ReadonlyArray<Bar>
}

export interface Bar {
  /** {@link LOCKSTEP} and {@link PLAIN} have a colour of their own in all charts, also where more follows. */
  readonly name: string
  readonly value: number
  /** Half of the rounds lay as far from the value, or less: a share of it. */
  readonly spread?: number
}

export const LOCKSTEP = "lockstep"
export const PLAIN = "plain code"
