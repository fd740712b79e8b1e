import type { Trial } from "./trial.ts"

/** For people: a table, and what it means. */
export function print(trials: ReadonlyArray<Trial>): string {
  const lines = [
    "",
    "                     acknowledged   lost   reported   failover gap   booked with    without a",
    "                                           at most                   the carrier   reservation",
    ...trials.map(row),
    "",
    ...trials.flatMap((trial) => [...story(trial), ""]),
    trials.every(({ broken }) => broken.length === 0) ? "  OK: every promise was kept" : "  FAILED",
    "",
  ]
  return lines.join("\n")
}

function row(trial: Trial): string {
  const { replication, acknowledged, lost, lossWindow, failoverGapMs, bookings } = trial
  const cells = [
    count(acknowledged).padStart(14),
    count(lost).padStart(7),
    count(lossWindow).padStart(11),
    `${count(failoverGapMs)} ms`.padStart(15),
    count(bookings).padStart(14),
    count(orphansOf(trial).length).padStart(14),
  ]
  return `  ${replication.padEnd(17)}${cells.join("")}`
}

function story(trial: Trial): ReadonlyArray<string> {
  const { replication, killed, failover, askedAgain, recognised, gaveUp, orphans, broken } = trial
  const { epoch, primary, position } = failover
  const [example] = orphansOf(trial)
  return [
    `  ${replication}: ${killed} was killed; ${primary} took over in epoch ${epoch}, and went on from position ${count(position)}.`,
    `    ${verdict(trial)}`,
    `    Unknown outcomes: ${count(askedAgain)} asked for again (the carrier knew ${count(recognised)} of them by id), ${count(gaveUp)} given up.`,
    example === undefined
      ? "    The carrier has booked nothing that is not reserved."
      : `    The carrier is ahead by bookings such as ${example}: ${count(orphans.acknowledged.length)} of reservations that were lost, ${count(orphans.unanswered.length)} that nobody was told of.`,
    ...broken.map((promise) => `    BROKEN: ${promise}`),
  ]
}

function verdict({ replication, acknowledged, lost, lossWindow, firstLost = 0 }: Trial): string {
  if (replication !== "asynchronous")
    return `Nothing may be lost: ${count(acknowledged - lost)} of ${count(acknowledged)} acknowledged reservations are there.`
  return lost === 0
    ? `It reported that ${count(lossWindow)} may be lost, at most. In this run nothing was, which is luck.`
    : `It reported that ${count(lossWindow)} may be lost, at most. Lost are the last ${count(lost)} that the killed primary acknowledged, from number ${count(firstLost)} on.`
}

function orphansOf({ orphans }: Trial): ReadonlyArray<string> {
  return [...orphans.acknowledged, ...orphans.unanswered]
}

function count(value: number): string {
  return value.toLocaleString("en-US")
}
