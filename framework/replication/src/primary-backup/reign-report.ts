import type { ReignBegun, ReignReport } from "../reign.ts"
import type { Ground } from "./ground.ts"
import type { Accession } from "./notices.ts"

/** What the log says of the current primary. */
export function reignReport({ reigns, rules }: Ground): ReignReport {
  const { epoch, master, inSync, acknowledgements, start, lossWindow } = reigns.current
  return {
    epoch,
    master: master?.replica,
    inSync: inSync.map(({ replica }) => replica),
    acknowledgements,
    degraded: rules.replication === "semi-synchronous" && acknowledgements < rules.acknowledgements,
    position: start,
    lossWindow,
  }
}

/** The same, where it is another from here on. */
export function begunReport(
  ground: Ground,
  { before, cause, isMaster }: Omit<Accession, "silentSinceMs"> & Pick<ReignBegun, "isMaster">,
): ReignBegun {
  return { ...reignReport(ground), cause, before: before.master?.replica, isMaster }
}
