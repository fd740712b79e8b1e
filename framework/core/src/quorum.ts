/** `"byzantine"`: a faulty replica may answer anything. `"crash"`: a faulty replica is silent, and what it says is right. */
export type FaultModel = "byzantine" | "crash"

/** How many replicas execute every command, and how many equal votes decide it. */
export interface Quorum {
  readonly replicas: number
  readonly votes: number
}

/**
 * With a trusted log: 2f+1 replicas and f+1 equal votes where replicas may lie (at least one of f+1 is from a correct
 * replica), f+1 replicas and one vote where they can only crash. (Schneider 1990; Yin et al. 2003.)
 */
export function quorum(faults: number, faultModel: FaultModel): Quorum {
  if (!Number.isSafeInteger(faults) || faults < 0 || faults > FAULTS_MAX)
    throw new RangeError(`faults must be a whole number from 0 to ${FAULTS_MAX}, not ${String(faults)}`)
  switch (faultModel) {
    case "byzantine":
      return { replicas: 2 * faults + 1, votes: faults + 1 }
    case "crash":
      return { replicas: faults + 1, votes: 1 }
    default:
      throw new TypeError(`faultModel must be "byzantine" or "crash", not ${JSON.stringify(faultModel)}`)
  }
}

const FAULTS_MAX = 10
