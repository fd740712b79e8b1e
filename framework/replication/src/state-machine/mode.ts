import { type FaultModel, quorum } from "@lockstep/core"
import type { Coding } from "../erasure-coded.ts"
import type { ReplicationMode, Submission } from "../mode.ts"
import { Certificates } from "./certificates.ts"
import { StateMachineClient } from "./client.ts"
import { StateMachineReplica } from "./replica.ts"

/** What is to be masked. */
export interface StateMachineOptions {
  /** f: how many replicas may be faulty at a time. */
  readonly faults: number
  /** `"byzantine"`: 2f+1 replicas, decided at f+1 equal votes. `"crash"`: f+1 replicas, decided at one vote. */
  readonly faultModel: FaultModel
  /** How checkpoints are kept. Default: each replica has a whole copy. */
  readonly checkpoints?: Coding
}

/**
 * Every replica executes every command, in the order of the log, and the caller believes f+1 equal answers. Survives f
 * faulty replicas: ones that crash, stall or (with `"byzantine"`) answer wrongly. (Schneider 1990.)
 *
 * Throws RangeError where `checkpoints` is a code of another number of shards than there are replicas, or one that f of them can
 * destroy.
 */
export function stateMachine(
  options: StateMachineOptions,
): ReplicationMode & { readonly execution: "everywhere" } {
  const { replicas, votes } = quorum(options.faults, options.faultModel)
  const { checkpoints: coding, faults } = options
  if (coding !== undefined) checkCoding(coding, { faults, replicas })
  // what f+1 replicas hold survives f of them, whatever the fault model; of shards, f more than it takes must be there
  const holding = { votes, holders: faults + (coding?.data ?? 1), coding }
  return Object.freeze({
    kind: "state-machine",
    lane: `state-machine/${votes}`,
    rules: { faults, faultModel: options.faultModel, checkpoints: coding },
    replicas,
    quorum: votes,
    holders: holding.holders,
    storage: coding === undefined ? "copies" : "shards",
    execution: "everywhere",
    tickMs: 500,
    certificates: (log) => new Certificates({ ...log, quorum: holding }),
    replica: (init) => new StateMachineReplica(init, holding),
    client: <Call extends Submission>(init: ConstructorParameters<typeof StateMachineClient>[0]) =>
      new StateMachineClient<Call>(init, votes),
  } satisfies ReplicationMode)
}

function checkCoding(
  { data, parity }: Coding,
  { faults, replicas }: { readonly faults: number; readonly replicas: number },
): void {
  if (data + parity !== replicas)
    throw new RangeError(
      `checkpoints have ${data} + ${parity} shards, one for each replica, and there are ${replicas} replicas`,
    )
  if (parity < faults)
    throw new RangeError(`${faults} faulty replicas destroy a checkpoint that has ${parity} shards to spare`)
}
