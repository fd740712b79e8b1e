import type { Certificates, ClientOptions, ReplicationMode, Submission } from "../mode.ts"
import { MasterClient } from "./client.ts"
import { PrimaryBackupReplica } from "./replica.ts"
import { Renewals } from "./renewals.ts"

/** When a write is answered, and what may be lost then. */
export type PrimaryBackupOptions = {
  /** Replicas of the class, the primary included. Default: 3. */
  readonly replicas?: number
  readonly timing?: Partial<Timing>
} & (
  | {
      /** When every in-sync backup has it on its disk. */
      readonly replication: "synchronous"
      /** Replicas that must be in sync, the primary included; writes are refused where there are fewer. Default: 1. */
      readonly inSyncMin?: number
    }
  | {
      /** When `acknowledgements` backups have it on their disks. */
      readonly replication: "semi-synchronous"
      /** k. Default: 1. */
      readonly acknowledgements?: number
      /**
       * What happens where fewer than k backups are there. `"refuse"`: writes are refused. `"degrade"`: those that are there are enough, down to none;
       * that is stated in the log before any write is acknowledged so, and counted. Default: `"refuse"`.
       */
      readonly below?: "refuse" | "degrade"
    }
  | {
      /** When the primary has it on its disk. */
      readonly replication: "asynchronous"
    }
)

/** How quickly things are noticed. */
export interface Timing {
  /** How long a primary may be silent before another one is elected, milliseconds of the log's time. */
  readonly leaseMs: number
  /** By how much clocks may be wrong: those of the log's servers among each other, and a replica's over one lease. Milliseconds. */
  readonly clockErrorMs: number
  /** How long a backup may take to acknowledge before it leaves the in-sync set, milliseconds. */
  readonly backupTimeoutMs: number
}

export const TIMING: Timing = { leaseMs: 1000, clockErrorMs: 100, backupTimeoutMs: 500 }

/** The rules of one setting, which primary, backups and the log's readers share. */
export interface Rules extends Timing {
  readonly replication: PrimaryBackupOptions["replication"]
  readonly replicas: number
  readonly inSyncMin: number
  /** k; all in-sync backups where it is infinite. */
  readonly acknowledgements: number
  readonly below: "refuse" | "degrade"
}

/**
 * One replica, the primary, executes; the others are given what the state came to. Survives crashes, no wrong answer: nobody checks what the
 * primary says. A command may be asynchronous and use the outside world: it runs once. (Budhiraja et al., The primary-backup approach, 1993.)
 *
 * Throws RangeError for numbers that cannot be met.
 */
export function primaryBackup(
  options: PrimaryBackupOptions,
): ReplicationMode & { readonly execution: "once" } {
  const rules = rulesOf(options)
  const { replicas, acknowledgements, inSyncMin, replication } = rules
  const quorum = replication === "synchronous" ? inSyncMin : acknowledgements + 1
  return Object.freeze({
    kind: "primary-backup",
    lane: `primary-backup/${replication}`,
    rules: { ...rules },
    replicas,
    execution: "once",
    quorum,
    holders: quorum,
    storage: "copies",
    tickMs: 50,
    certificates: (): Certificates => new Renewals(),
    replica: (init) => new PrimaryBackupReplica(init, rules),
    client: <Call extends Submission>(init: ClientOptions) => new MasterClient<Call>(init),
  } satisfies ReplicationMode)
}

export function rulesOf(options: PrimaryBackupOptions): Rules {
  const { replication, replicas = 3 } = options
  const timing = { ...TIMING, ...options.timing }
  const k = replication === "semi-synchronous" ? (options.acknowledgements ?? 1) : 0
  const inSyncMin = replication === "synchronous" ? (options.inSyncMin ?? 1) : 1
  if (!Number.isSafeInteger(replicas) || replicas < 1)
    throw new RangeError(`replicas is ${replicas}, and must be a whole number from 1`)
  if (!Number.isSafeInteger(inSyncMin) || inSyncMin < 1 || inSyncMin > replicas)
    throw new RangeError(`inSyncMin is ${inSyncMin}, and must be from 1 to replicas, which are ${replicas}`)
  if (!Number.isSafeInteger(k) || k >= replicas || (replication === "semi-synchronous" && k < 1))
    throw new RangeError(
      `acknowledgements is ${k}, and must be from 1 to ${replicas - 1}, the number of backups`,
    )
  if (timing.clockErrorMs * 2 >= timing.leaseMs)
    throw new RangeError(
      `clockErrorMs is ${timing.clockErrorMs}, and leaves nothing of a lease of ${timing.leaseMs} ms`,
    )
  return {
    ...timing,
    replication,
    replicas,
    inSyncMin,
    acknowledgements: replication === "synchronous" ? Number.POSITIVE_INFINITY : k,
    below: replication === "semi-synchronous" ? (options.below ?? "refuse") : "degrade",
  }
}
