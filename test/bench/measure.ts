export function median(values: ReadonlyArray<number>): number {
  return percentile(
    values.toSorted((a, b) => a - b),
    0.5,
  )
}

/** The value below which this share of the sorted values lies. */
export function percentile(sorted: ReadonlyArray<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

/** How far the rounds lay apart, half of them to each side, as a share of the median. */
export function spread(values: ReadonlyArray<number>): number {
  const sorted = values.toSorted((a, b) => a - b)
  return (percentile(sorted, 0.75) - percentile(sorted, 0.25)) / 2 / median(values)
}
