/** A string or number that cannot be passed where another kind of id is wanted. */
type Brand<Base, Name extends string> = Base & { readonly "~brand": Name }

/** The name of a replica group: one service and all its replicas. Also a token of NATS subjects. */
export type GroupName = Brand<string, "GroupName">
/** One replica of a group, by a name that its operator chose. Also a token of NATS subjects. */
export type ReplicaId = Brand<string, "ReplicaId">
/** One client process, by a random name of its own. Also a token of NATS subjects. */
export type ClientId = Brand<string, "ClientId">
/** The index of a totally ordered log within a group, from 0. */
export type Partition = Brand<number, "Partition">
/** A session of a client in one partition: the log position that opened it. */
export type SessionId = Brand<number, "SessionId">
/** One membership of a group, counted from 1. */
export type Epoch = Brand<number, "Epoch">
/** A SHA-256 digest in lower-case hexadecimal (64 characters). */
export type Digest = Brand<string, "Digest">

const SUBJECT_TOKEN = /^[A-Za-z0-9_-]{1,64}$/

export const GroupName = (name: string): GroupName => subjectToken("group name", name) as GroupName // checked
export const ReplicaId = (name: string): ReplicaId => subjectToken("replica id", name) as ReplicaId // checked
export const ClientId = (name: string): ClientId => subjectToken("client id", name) as ClientId // checked
export const Partition = (index: number): Partition => natural("partition", index) as Partition // checked
export const SessionId = (seq: number): SessionId => natural("session id", seq) as SessionId // checked
export const Epoch = (number: number): Epoch => natural("epoch", number) as Epoch // checked

function subjectToken(what: string, name: string): string {
  if (typeof name === "string" && SUBJECT_TOKEN.test(name)) return name
  throw new TypeError(
    `${what} ${JSON.stringify(name)} must be 1 to 64 letters, digits, "-" or "_": it becomes a token of a NATS subject`,
  )
}

function natural(what: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new TypeError(`${what} ${String(value)} must be a whole number that is not negative`)
}
