import type { Mutant } from "./mutant-list.ts"

const FOLDER = "replication/src/primary-backup"
const BACKUP = `${FOLDER}/backup.ts`
const LEDGER = `${FOLDER}/ledger.ts`
const PRIMARY = `${FOLDER}/primary.ts`
const REIGNS = `${FOLDER}/reigns.ts`
const TENURE = `${FOLDER}/tenure.ts`

/** Deliberate bugs of the primary-backup mode. */
const BUGS: ReadonlyArray<Omit<Mutant, "mode">> = [
  {
    name: "acknowledged-before-persisted",
    bug: "a primary counts what is not on its own disk yet",
    file: TENURE,
    find: "here: ledger.durable,",
    replace: "here: ledger.history.last,",
    seedsMax: 300,
  },
  {
    name: "backup-before-persisting",
    bug: "a backup acknowledges what is not on its disk yet",
    file: BACKUP,
    find: "position: ledger.durable,",
    replace: "position: ledger.history.last,",
    seedsMax: 300,
  },
  {
    name: "master-epoch-not-checked",
    bug: "a backup takes what an earlier primary ships",
    file: BACKUP,
    find: "if (ship.epoch !== epoch || !isPrimary) return undefined",
    replace: "if (ship.epoch > epoch) return undefined",
    seedsMax: 300,
  },
  {
    name: "shrunk-after-acknowledging",
    bug: "a primary acknowledges without a backup before the log shows that it is out",
    file: TENURE,
    find: "[reign, ...this.#proposals].map(",
    replace: "[this.#proposals.at(-1) ?? reign].map(",
    seedsMax: 300,
  },
  {
    name: "too-few-bids",
    bug: "one bid elects, whatever k is",
    file: REIGNS,
    find: "isLossy ? 1 : Math.max(1, inSync.length - acknowledgements)",
    replace: "1",
    seedsMax: 300,
  },
  {
    name: "earlier-life-believed",
    bug: "the bid of a replica that was restarted counts like that of the one that was in sync",
    file: REIGNS,
    find: "isWhole ? bids : bids.filter(({ bidder }) => this.isInSync(bidder))",
    replace: "bids",
    seedsMax: 300,
  },
  {
    name: "promise-broken",
    bug: "a backup that has bid still takes what the old primary ships",
    file: BACKUP,
    find: "    if (this.#hasPromised) return undefined\n",
    replace: "",
    seedsMax: 300,
  },
  {
    name: "suffix-not-truncated",
    bug: "a backup keeps records that the new primary does not have",
    file: BACKUP,
    find: "if (agreed < ledger.history.last) this.#ground.say(ledger.truncate(agreed))",
    replace: "",
    seedsMax: 300,
  },
  {
    name: "silent-degradation",
    bug: "a semi-synchronous primary acknowledges with fewer backups than its class asks for",
    file: REIGNS,
    find: 'below === "refuse" ? k : Math.min(',
    replace: "Math.min(",
    seedsMax: 300,
  },
  {
    name: "read-before-acknowledged",
    bug: "a query is answered with what may still be lost",
    file: PRIMARY,
    find: "this.#reads.filter((read) => read.position <= ledger.committed)",
    replace: "[...this.#reads]",
    seedsMax: 300,
  },
  {
    name: "handed-over-too-early",
    bug: "a primary steps down although its successor lacks records",
    file: TENURE,
    find: "|| heldBy(this.#followers.get(life)) < last || ledger.committed < last",
    replace: "",
    seedsMax: 300,
  },
  {
    name: "executed-while-executing",
    bug: "a batch that comes again while it is executed is executed again",
    file: PRIMARY,
    find: "if (this.#underway.has(key)) return // its answer comes",
    replace: "",
    seedsMax: 300,
  },
  {
    name: "record-not-kept",
    bug: "a batch that comes again after it was acknowledged is executed again",
    file: LEDGER,
    find: 'if (admission._tag === "Fresh") this.#sessions.record(answer)',
    replace: "",
    seedsMax: 300,
  },
  {
    name: "own-writes-not-read",
    bug: "a backup answers a query that has not what its client was told",
    file: BACKUP,
    find: " && ledger.committed >= atLeast",
    replace: "",
    seedsMax: 300,
  },
]

export const SINGLE_MASTER_MUTANTS: ReadonlyArray<Mutant> = BUGS.map((bug) => ({
  ...bug,
  mode: "primary-backup",
}))
