import { type Bid, Epoch, genesisRoster, type Life, OPERATOR, type Renewal, ReplicaId } from "@lockstep/core"
import { type PrimaryBackupOptions, Reigns, rulesOf } from "@lockstep/replication"
import { describe, expect, it } from "vitest"

const LEASE_MS = 1000
const atMs = (ms: number): bigint => BigInt(ms) * 1_000_000n

/** A group whose master is the first one, and in which all are in sync and hold six positions, of which five are known to be acknowledged. */
function group(options: PrimaryBackupOptions) {
  const rules = rulesOf(options)
  const names = Array.from({ length: rules.replicas }, (_, i) => ReplicaId(`r${i}`))
  const lives = names.map((replica): Life => ({ replica, incarnation: "first" }))
  const reigns = new Reigns(rules, genesisRoster(names))
  const bid = (life: Life | undefined, position: number): Bid => {
    const { epoch, number: after } = reigns.current
    if (life === undefined) throw new Error("there are not so many")
    return { _tag: "Bid", bidder: life, epoch: epoch + 1, after, lastEpoch: epoch, position }
  }
  for (const life of lives) if (reigns.current.epoch === 0) reigns.bid(bid(life, 0), atMs(0))
  const [master = lives[0]] = reigns.current.inSync
  if (master === undefined) throw new Error("nobody is the master")
  const renewal: Renewal = {
    _tag: "Renewal",
    master,
    epoch: 1,
    number: 1,
    leaseMs: LEASE_MS,
    inSync: [master, ...lives.filter((life) => life !== master)],
    acknowledgements: reigns.acknowledgementsFor(lives.length),
    committed: 5,
    horizon: 6,
    successor: undefined,
    logBelow: 0,
  }
  expect(reigns.renew(renewal, atMs(10))).toBe("renewed")
  const backups = lives.filter((life) => life !== master)
  /** An operator leaves only these, after the lease. */
  const leave = (staying: ReadonlyArray<Life>): void => {
    const roster = { epoch: Epoch(2), voters: staying.map(({ replica }) => replica), standbys: [] }
    expect(reigns.reconfigure(roster, OPERATOR, atMs(5000))).toBe("membership")
  }
  return { reigns, master, backups, bid, leave }
}

describe("an election", () => {
  it("needs as many bids after an operator has let somebody go who was in sync: that one may hold what others do not", () => {
    const { reigns, master, backups, bid, leave } = group({
      replication: "semi-synchronous",
      replicas: 4,
      acknowledgements: 2,
    })
    const [slow, quick, gone] = backups
    // the sixth was acknowledged by the quick one and by the one that is let go
    leave([master, ...backups.filter((life) => life !== gone)])
    expect(reigns.bid(bid(slow, 5), atMs(5000))).toBe("bid")
    expect(reigns.bid(bid(quick, 6), atMs(5001))).toBe("elected")
    expect(reigns.current).toMatchObject({ master: quick, start: 6, inSync: [quick] })
  })

  it("needs one bid where all others have acknowledged everything, whoever was let go", () => {
    const { reigns, master, backups, bid, leave } = group({ replication: "synchronous", replicas: 4 })
    const [first, second] = backups
    leave([master, ...backups.slice(0, 2)])
    expect(reigns.bid(bid(second, 6), atMs(5000))).toBe("elected")
    const { inSync } = reigns.current
    expect(new Set(inSync)).toEqual(new Set([master, first, second]))
  })
})
