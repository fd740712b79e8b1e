import type { HaltReport } from "@lockstep/replication"
import type { BrokenLog } from "./breakage.ts"
import type { Simulation } from "./simulation.ts"

/** Those who must have noticed that the log broke its promise and went on, or stopped for another reason. */
export function unnoticed(run: Simulation): ReadonlyArray<string> {
  const { brokenLog } = run.scenario
  if (brokenLog === undefined) return []
  const { kind } = brokenLog
  return mustHalt(run, brokenLog).flatMap(({ replica, halts }) => {
    const [halt] = halts
    if (halt === undefined) return [`${replica} went on although the log is broken: ${kind}`]
    return REASONS[kind].includes(halt.reason) ? [] : [`${replica} took ${kind} for ${halt.reason}`]
  })
}

/** What a replica may take the break for. Whoever lost its last entry may be contradicted by its peers first. */
const REASONS: Readonly<Record<BrokenLog, ReadonlyArray<HaltReport["reason"]>>> = {
  "lost-tail": ["log-lost-tail", "log-rewritten", "log-forked"],
  "lost-middle": ["log-gap"],
  rewritten: ["log-forked", "state-diverged"],
  recreated: ["log-recreated"],
  fork: ["log-forked", "state-diverged"],
}

/** Who read something that others did not read, or no longer can. */
function mustHalt(run: Simulation, broken: { readonly kind: BrokenLog; readonly target: number }) {
  const { replicas, log, breakage, scenario } = run
  const target = replicas[broken.target]
  if (target === undefined || breakage === undefined) return []
  const { lastSeq, applied } = breakage
  const isBeyond = (replica: (typeof replicas)[number]): boolean =>
    (replica.protocol?.status.applied ?? 0) > lastSeq
  const others = replicas.filter((replica) => replica !== target && isBeyond(replica))
  switch (broken.kind) {
    case "recreated":
      // one that had executed nothing has lost nothing: it notices when it attaches next
      return replicas.filter((_, i) => (applied[i] ?? 0) > 0)
    case "lost-tail":
      return replicas.filter(
        // whoever has begun with a backup's or a primary's checkpoint since then knows of the log what that one had read
        ({ transfers }, i) =>
          (applied[i] ?? 0) > lastSeq - run.lost &&
          (scenario.mode !== "primary-backup" || transfers === breakage.transfers[i]),
      )
    case "lost-middle":
      return log.entries().length > lastSeq + 1 ? [target] : []
    case "rewritten":
    case "fork":
      // it takes others who contradict, and with one master nobody compares what was read
      if (scenario.mode === "primary-backup") return []
      return isBeyond(target) && others.length > scenario.faults ? [target] : []
  }
}
