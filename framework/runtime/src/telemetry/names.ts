// Every name that the library says to OpenTelemetry. Those of semantic conventions 1.45 first; what begins with `lockstep.` is ours. A test
// compares this list with the one in the docs.

/** Of the instrumentation itself. */
export const SCOPE = "lockstep"
/** Of instruments that never measure. */
export const PROBE_SCOPE = "lockstep/probe"

/** Attributes of spans, by what they are for. */
export const ATTRIBUTES = {
  rpcSystem: "rpc.system.name",
  rpcMethod: "rpc.method",
  errorType: "error.type",
  messagingSystem: "messaging.system",
  messagingOperation: "messaging.operation.type",
  messagingTemplate: "messaging.destination.template",
  messagingDestination: "messaging.destination.name",
  /** Which group of replicas. */
  group: "lockstep.group",
  /** How its class is replicated: the folder of the mode. */
  mode: "lockstep.mode",
  partition: "lockstep.partition",
  /** How many equal votes decide. */
  quorumRequired: "lockstep.quorum.required",
  /** How many replicas have a vote. */
  replicas: "lockstep.replicas",
  /** Where it was executed: a position of the log, or of the primary's history. */
  logSeq: "lockstep.log.seq",
  votesMatch: "lockstep.votes.match",
  votesDissent: "lockstep.votes.dissent",
  votesMissing: "lockstep.votes.missing",
  /** What one replica's vote was to the decision: `match`, `dissent`, or `late`. */
  vote: "lockstep.vote",
  /** Digest of the bytes of the command's outcome: equal on replicas that agree. */
  outputDigest: "lockstep.output.digest",
  /** What was decided, and what a replica said instead: digests of the outcomes of a batch. */
  outputExpected: "lockstep.output.expected",
  outputActual: "lockstep.output.actual",
  /** Which replica executed it. */
  replica: "lockstep.replica",
  /** From the log's time of the entry to its execution, seconds. */
  applyLag: "lockstep.apply.lag",
  /** What a replica does at the moment: one of `REPLICA_STATES`. */
  state: "lockstep.state",
  role: "lockstep.role",
  /** The name of a `HostEvent`. */
  event: "lockstep.event",
  /** Why a replica began anew, or halted: one of those of a `HaltReport`. Why a backup is counted on no more: a `Departure`. */
  reason: "lockstep.reason",
  /** What a replica executed once more when it started: after this position, up to that one, so many commands. */
  replayFrom: "lockstep.replay.from",
  replayTo: "lockstep.replay.to",
  replayCommands: "lockstep.replay.commands",
  /** Counts masters. */
  epoch: "lockstep.epoch",
  /** How many acknowledged positions may be lost with the master before, at most. */
  lossWindow: "lockstep.loss.window",
  /** One that follows a master. */
  backup: "lockstep.backup",
  /** Who was the master before. */
  masterBefore: "lockstep.master.before",
  /** How many replicas are in sync, the master included. */
  inSync: "lockstep.in_sync",
} as const

/** Names of spans. */
export const SPANS = {
  /** CLIENT: one call, from the caller's side. */
  call: (type: string, member: string): string => `${type}/${member}`,
  /** PRODUCER: until the call is handed to the log, or to the primary. */
  send: (destination: string): string => `send ${destination}`,
  /** INTERNAL: from the first vote to the decision. */
  vote: (type: string, member: string): string => `vote ${type}/${member}`,
  /** CONSUMER: one replica has got to the command. */
  process: (destination: string): string => `process ${destination}`,
  /** INTERNAL, and the root of its trace: a replica has started, and executes once more what it has missed, or forgotten. */
  replay: "replay",
  /** INTERNAL: the command runs. Spans of the actor's own hang below it. */
  apply: (type: string, member: string): string => `apply ${type}/${member}`,
  /** INTERNAL: what a command came to is on its way from the primary to one backup, until that has it on its disk. */
  replicate: "replicate",
  /** INTERNAL, and the root of its trace: nobody is heard of as the master, until another replica serves as one. */
  failover: "failover",
} as const

/** Names of log records: what happened, and somebody should know of. */
export const EVENTS = {
  /** WARN, in the trace of the call: a replica said something else than was decided. */
  dissent: "lockstep.vote.dissent",
  /** ERROR: its checkpoint is not that of f+1 others. It begins anew, on probation. */
  diverged: "lockstep.replica.diverged",
  /** ERROR: it begins anew, on probation, for another reason. */
  quarantined: "lockstep.replica.quarantined",
  /** INFO: it is over its probation. */
  trusted: "lockstep.replica.trusted",
  /** ERROR: it refuses to go on. */
  halted: "lockstep.replica.halted",
  /** ERROR: the log, as its server shows it, is not what it was. */
  logIntegrity: "lockstep.log.integrity",
  /** WARN: it is the master, and the one before did not hand over. */
  failover: "lockstep.failover",
  /** INFO: it is the master, because the one before named it. */
  handOver: "lockstep.hand_over",
  /** WARN, or INFO where it was meant to be: the master counts on this backup no more. */
  outOfSync: "lockstep.backup.out_of_sync",
  /** INFO: it counts on this one from here on. */
  inSync: "lockstep.backup.in_sync",
  /** WARN: fewer replicas hold what is acknowledged than the class asks for. */
  degraded: "lockstep.replication.degraded",
  /** INFO: as many as it asks for, again. */
  restored: "lockstep.replication.restored",
  /** WARN, or ERROR where more replicas are wrong than the group can mask; in the trace of the call: too few votes were equal. */
  noQuorum: "lockstep.no_quorum",
} as const

/** Where commands are sent: one of these for each partition. */
export const DESTINATIONS = {
  log: "cmd.{group}.{partition}",
  primary: "ask.{group}.{partition}",
} as const

export const SYSTEM = "lockstep"
export const MESSAGING_SYSTEM = "nats"
