import type { Chart, Unit } from "./chart.ts"
import { bytes, count, milliseconds, ratio } from "./table.ts"

/** Where values are on a picture, and how they are written. */
export interface Axis {
  /** From 0 to 1. */
  readonly place: (value: number) => number
  readonly ticks: ReadonlyArray<number>
}

export function axisOf({ groups, scale }: Chart): Axis {
  const ends = groups.flatMap(({ bars }) =>
    bars.flatMap(({ value, spread = 0 }) => [value * (1 - spread), value * (1 + spread)]),
  )
  const values = ends.filter((value) => Number.isFinite(value) && value > 0)
  const most = Math.max(1e-6, ...values)
  switch (scale) {
    case "linear":
      return linear(most)
    case "logarithmic":
      return logarithmic(Math.min(most, ...values), most)
  }
}

function linear(most: number): Axis {
  const step = niceStep(most / TICKS)
  const end = Math.ceil(most / step) * step
  const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, i) => i * step)
  return { place: (value) => clamp(value / end), ticks }
}

/** It begins a power of ten below the least value, so that every bar has a length. */
function logarithmic(least: number, most: number): Axis {
  const from = Math.floor(Math.log10(least) - 0.2)
  const to = Math.max(from + 1, Math.ceil(Math.log10(most)))
  const ticks = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i))
  return { place: (value) => clamp((Math.log10(Math.max(value, 10 ** from)) - from) / (to - from)), ticks }
}

const TICKS = 5

/** 1, 2 or 5 times a power of ten. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least))
  return power * ([1, 2, 5].find((times) => times * power >= least) ?? 10)
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share))
}

/** A value with what it is of. */
export function written(value: number, unit: Unit): string {
  switch (unit) {
    case "milliseconds":
      return milliseconds(value)
    case "calls per second":
      return `${count(value)}/s`
    case "bytes per second":
      return `${bytes(value)}/s`
    case "times":
      return `${ratio(value)} ×`
  }
}

/** The same at an axis, where round values are. */
export function writtenShort(value: number, unit: Unit): string {
  switch (unit) {
    case "milliseconds":
      return value >= 1000 ? `${value / 1000} s` : `${Number(value.toPrecision(3))} ms`
    case "calls per second":
      return count(value)
    case "bytes per second":
      return bytes(value).replace(".0 ", " ")
    case "times":
      return String(Number(value.toPrecision(3)))
  }
}
