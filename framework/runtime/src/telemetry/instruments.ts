import { createNoopMeter, type Histogram, type Meter, metrics, type Observable } from "@opentelemetry/api"
import { type Metric, METRICS } from "./metrics.ts"
import { SCOPE } from "./names.ts"

type Key = keyof typeof METRICS

/** The meter that the program has registered; undefined where it has registered none, and nothing is to be measured. */
export function registeredMeter(): Meter | undefined {
  const meter = metrics.getMeter(SCOPE)
  return meter === createNoopMeter() ? undefined : meter
}

/** Seconds: those of the semantic conventions, and some below, because what happens inside one machine room takes less than five milliseconds. */
const BOUNDARIES_S = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
]
/** What one replica does by itself is quicker still. */
const FINE_BOUNDARIES_S = [0.000_01, 0.000_025, 0.000_05, 0.0001, 0.000_25, ...BOUNDARIES_S]

/** `"fine"`: for what takes microseconds. */
export function durations(meter: Meter, key: Key, grain: "fine" | "coarse"): Histogram {
  const { name, unit, meaning: description } = METRICS[key]
  const advice = { explicitBucketBoundaries: grain === "fine" ? FINE_BOUNDARIES_S : BOUNDARIES_S }
  return meter.createHistogram(name, { unit, description, advice })
}

/** Tells the meter, whenever it collects, what there is to tell. Ends with what is returned. */
export function observe(meter: Meter, tell: (observe: Observe) => void): () => void {
  const observables = observablesOf(meter)
  const callback: Parameters<Meter["addBatchObservableCallback"]>[0] = (result) =>
    tell((key, value, attributes) => {
      const observable = observables.get(key)
      if (observable !== undefined) result.observe(observable, value, attributes)
    })
  const all = [...observables.values()]
  meter.addBatchObservableCallback(callback, all)
  return () => meter.removeBatchObservableCallback(callback, all)
}

export type Observe = (key: Key, value: number, attributes: Readonly<Record<string, string | number>>) => void

const known = new WeakMap<Meter, ReadonlyMap<Key, Observable>>()

function observablesOf(meter: Meter): ReadonlyMap<Key, Observable> {
  let observables = known.get(meter)
  if (observables === undefined) {
    const made = new Map<Key, Observable>()
    for (const [key, { name, kind, unit, meaning: description }] of entries())
      if (kind === "counter") made.set(key, meter.createObservableCounter(name, { unit, description }))
      else if (kind === "gauge") made.set(key, meter.createObservableGauge(name, { unit, description }))
    observables = made
    known.set(meter, observables)
  }
  return observables
}

function entries(): ReadonlyArray<[Key, Metric]> {
  return Object.entries(METRICS) as Array<[Key, Metric]> // the keys of a constant
}
