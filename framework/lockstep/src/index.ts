/** Lockstep: decorate a class, deploy it as a replica group, and believe an answer only when enough replicas gave it. */
export {
  type ActorClass,
  type ActorClient,
  type ActorContext,
  Command,
  DefinitionError,
  type Determinism,
  Nondeterminism,
  Query,
  Replicated,
  WrongBuild,
} from "@lockstep/actor"
export {
  ActorError,
  Diverged,
  type Effect as CommandEffect,
  InvalidArgument,
  LockstepError,
  NoQuorum,
  OutcomeUnknown,
  Overloaded,
  SessionExpired,
  type Testimony,
} from "@lockstep/core"
export {
  GroupMismatch,
  LogUnavailable,
  NatsServerMissing,
  ServerTooOld,
  UnknownGroup,
  UnsafeSetting,
} from "@lockstep/nats"
export { type Coding, erasureCoded, stateMachine, type StateMachineOptions } from "@lockstep/replication"
export {
  changeMembership,
  type ChangeMembershipOptions,
  type Client,
  connect,
  type ConnectOptions,
  createGroup,
  type CreateGroupOptions,
  type Dissent,
  host,
  type Host,
  type HostEvent,
  type HostOptions,
  MarginTooSmall,
  MembershipConflict,
  type TruncatedLog,
  truncateLogs,
  type TruncateOptions,
} from "@lockstep/runtime"
