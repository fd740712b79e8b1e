import { type ActorClass, define, DefinitionError } from "@lockstep/actor"
import type { Mode } from "@lockstep/core"
import type { GroupDescriptor } from "@lockstep/nats"
import type { ReplicationMode } from "@lockstep/replication"

/** The class's mode, if this group can keep its promise. Throws DefinitionError. */
export function hostable(actorClass: ActorClass, group: GroupDescriptor): ReplicationMode {
  const { mode } = define(actorClass)
  if (!isReplicationMode(mode))
    throw new DefinitionError({
      actorClass: actorClass.name,
      problem: `its mode ${JSON.stringify(mode.kind)} is not one that this version can run`,
      remedy: "Make the mode with stateMachine({ … }) or primaryBackup({ … })",
    })
  if (mode.replicas > sizeOf(group))
    throw new DefinitionError({
      actorClass: actorClass.name,
      problem: `its mode needs ${mode.replicas} replicas, and the group ${group.group} has ${sizeOf(group)}`,
      remedy: "Use a larger group, or a mode that tolerates fewer faults",
    })
  return mode
}

/**
 * The replicas of a group run one protocol: all its classes are of one kind, and those that are executed in one place are decided by one rule.
 * Throws DefinitionError for a class that cannot be in a group with the first.
 */
export function checkTogether(actorClass: ActorClass, first: ActorClass): void {
  const [mode, other] = [define(actorClass).mode, define(first).mode]
  const difference = differenceOf(mode, other)
  if (difference === undefined) return
  throw new DefinitionError({
    actorClass: actorClass.name,
    problem: `its mode is ${difference[0]}, and that of ${first.name}, a class of the same group, is ${difference[1]}`,
    remedy: "Give the classes of a group one mode, or host one of them in another group",
  })
}

function differenceOf(mode: Mode, other: Mode): readonly [string, string] | undefined {
  if (mode.kind !== other.kind) return [mode.kind, other.kind]
  // replicas that all execute can say of each command what that command's class needs
  if (mode.execution === "everywhere" || !isReplicationMode(mode) || !isReplicationMode(other))
    return undefined
  const [mine, theirs] = [ruleOf(mode), ruleOf(other)]
  return mine === theirs ? undefined : [mine, theirs]
}

function ruleOf({ kind, rules }: ReplicationMode): string {
  const stated = Object.entries(rules).map(([name, value]) => `${name} ${String(value)}`)
  return `${kind} with ${stated.toSorted().join(", ")}`
}

/** As many as it was made with, or as vote now: one that is short of a voter for a while is not refused for it. */
function sizeOf(group: GroupDescriptor): number {
  return Math.max(group.replicas.length, Math.min(...group.rosters.map(({ voters }) => voters.length)))
}

function isReplicationMode(mode: Mode): mode is ReplicationMode {
  return "lane" in mode && "replica" in mode && "client" in mode
}
