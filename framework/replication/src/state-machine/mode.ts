import { type FaultModel, quorum } from "@lockstep/core"
import type { ReplicationMode } from "../mode.ts"
import { StateMachineClient } from "./client.ts"
import { StateMachineReplica } from "./replica.ts"

/** What is to be masked. */
export interface StateMachineOptions {
  /** f: how many replicas may be faulty at a time. */
  readonly faults: number
  /** `"byzantine"`: 2f+1 replicas, decided at f+1 equal votes. `"crash"`: f+1 replicas, decided at one vote. */
  readonly faultModel: FaultModel
}

/**
 * Every replica executes every command, in the order of the log, and the caller believes f+1 equal answers. Survives f
 * faulty replicas: ones that crash, stall or (with `"byzantine"`) answer wrongly. (Schneider 1990.)
 */
export function stateMachine(options: StateMachineOptions): ReplicationMode {
  const { replicas, votes } = quorum(options.faults, options.faultModel)
  return Object.freeze({
    kind: "state-machine",
    lane: `state-machine/${votes}`,
    replicas,
    quorum: votes,
    // a checkpoint that f+1 replicas hold survives f of them, whatever the fault model
    replica: (init) => new StateMachineReplica(init, { votes, holders: options.faults + 1 }),
    client: <Call>(init: ConstructorParameters<typeof StateMachineClient>[0]) =>
      new StateMachineClient<Call>(init, votes),
  } satisfies ReplicationMode)
}
