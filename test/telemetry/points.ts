import type { Meters, Point } from "./meters.ts"

interface Metric {
  readonly name: string
  readonly attributes: ReadonlyArray<string>
}

/** The values of one metric, by some of its attributes. */
export async function values(
  meters: Meters,
  { name, attributes }: Metric,
): Promise<Readonly<Record<string, number>>> {
  const own = attributes.filter((attribute) => !/^lockstep\.(group|partition)$/.test(attribute))
  const points = (await meters.collect()).filter((point) => point.name === name)
  return Object.fromEntries(
    points.map((point) => [own.map((attribute) => point.attributes[attribute]).join(" "), numberOf(point)]),
  )
}

export function numberOf({ value }: Point): number {
  return typeof value === "number" ? value : value.count
}

/** Of all that a histogram was told. */
export function sumOf(point: Point | undefined): number | undefined {
  return point === undefined || typeof point.value === "number" ? undefined : point.value.sum
}

/** The first value of a metric. */
export async function pointOf(meters: Meters, { name }: Metric): Promise<Point | undefined> {
  return (await meters.collect()).find((point) => point.name === name)
}
