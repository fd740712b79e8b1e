import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { startCluster } from "@lockstep/nats"
import { startServer } from "lockstep/develop"
import { Audit } from "./audit.ts"
import { callFor } from "./callers.ts"
import type { Bar, BarGroup } from "./chart.ts"
import type { Contender, Peer, Terms } from "./contender.ts"
import { startFloor } from "./floor.ts"
import { startFramework } from "./framework.ts"
import { median, spread } from "./measure.ts"
import { startEtcd } from "./peers/etcd.ts"
import { combined } from "./peers/gathering.ts"
import { startNats } from "./peers/nats.ts"
import { startPostgres } from "./peers/postgres.ts"
import { PeerMissing, startFolder } from "./peers/program.ts"
import { startRedisAlways, startRedisEverySecond } from "./peers/redis.ts"
import { startRestate } from "./peers/restate.ts"
import type { Scale } from "./scale.ts"
import { count, milliseconds, plusMinus, ratio, type Row, type Table } from "./table.ts"

const KEYS = Array.from({ length: 1000 }, (_, i) => `key-${i}`)

/** One durable counter per key in Lockstep, in plain code, and in what people would use instead, in rounds that take turns. */
export async function measurePeers(scale: Scale): Promise<Table> {
  const rounds = scale === "quick" ? 2 : 6
  const forMs = scale === "quick" ? 150 : 1200
  await using stack = new AsyncDisposableStack()
  const { subjects, skipped } = await startAll(stack)
  // the first round warms up, and counts for nothing
  for (let round = 0; round <= rounds; round++)
    for (const subject of subjects) {
      await subject.measure(forMs, round === 0 ? noFigures() : subject.figures)
      process.stderr.write(".")
    }
  process.stderr.write("\n")
  for (const subject of subjects) await subject.check()
  const rows = subjects.map((subject) => subject.row())
  return {
    title: "One counter per key",
    settings: {
      rounds,
      calls: `${count(forMs)} ms for each figure of a round, from one client process; over ${count(KEYS.length)} keys, or one`,
      "p50, p99": "of one caller, which calls one key after the other",
      copies: "that have an answered add on a disk, or in a log; executed: how many times an add is",
    },
    columns: COLUMNS,
    rows,
    notes: [
      "Medians of rounds (spread). At the end each counter was what had been acknowledged.",
      ...subjects.map(({ peer: { name, terms } }) => `${name}: ${terms.about}`),
      ...skipped,
      "Lockstep divided by the other: below 1 its latency, above 1 its throughput is the better one.",
      ...subjects.flatMap((subject) => comparisonOf(subject, subjects)),
    ],
    charts: [
      {
        title: "One counter per key: 1,000 callers",
        ...PER_SECOND,
        groups: bars(rows, "many", "manySpread"),
      },
      {
        title: "One counter for all: 64 callers",
        ...PER_SECOND,
        groups: bars(rows, "oneKey", "oneKeySpread"),
      },
      {
        title: "One counter per key: one caller, p50",
        unit: "milliseconds",
        better: "less",
        scale: "linear",
        groups: bars(rows, "p50Ms", "p50Spread"),
      },
    ],
  }
}

const PER_SECOND = { unit: "calls per second", better: "more", scale: "linear" } as const

function bars(rows: ReadonlyArray<Row>, figure: string, spreadFigure: string): ReadonlyArray<BarGroup> {
  const barOf = ({ name, figures }: Row): Bar => ({
    name,
    value: figures[figure] ?? Number.NaN,
    spread: figures[spreadFigure] ?? 0,
  })
  return [{ bars: rows.map(barOf) }]
}

const COLUMNS: Table["columns"] = [
  { title: "p50", figure: "p50Ms", format: milliseconds },
  { title: "", figure: "p50Spread", format: plusMinus },
  { title: "p99", figure: "p99Ms", format: milliseconds },
  { title: "1 caller/s", figure: "alone", format: count },
  { title: "", figure: "aloneSpread", format: plusMinus },
  { title: "64, one key/s", figure: "oneKey", format: count },
  { title: "", figure: "oneKeySpread", format: plusMinus },
  { title: "1,000, one key/s", figure: "oneKeyMany", format: count },
  { title: "", figure: "oneKeyManySpread", format: plusMinus },
  { title: "64 callers/s", figure: "some", format: count },
  { title: "", figure: "someSpread", format: plusMinus },
  { title: "1,000 callers/s", figure: "many", format: count },
  { title: "", figure: "manySpread", format: plusMinus },
  { title: "fsync", figure: "syncedRank", format: (rank) => SYNCED[rank] ?? "" },
  { title: "copies", figure: "copies", format: count },
  { title: "executed", figure: "executed", format: count },
]

/** By rank: a table has numbers only. */
const SYNCED: ReadonlyArray<Terms["synced"]> = ["never", "every second", "each write"]

const LOCKSTEP = "lockstep: "

/** Starts whatever is on this machine, and says what is not. Lockstep and plain code come first. */
async function startAll(
  stack: AsyncDisposableStack,
): Promise<{ readonly subjects: ReadonlyArray<Subject>; readonly skipped: ReadonlyArray<string> }> {
  const folder = stack.use(await startFolder())
  const server = stack.use(await startServer())
  const cluster = stack.use(await startCluster())
  const log = { synced: "each write", executed: 3 } as const
  const subjects: Array<Subject> = []
  const skipped: Array<string> = []
  const starts: Readonly<Record<string, (path: string) => Promise<ReadonlyArray<Peer>>>> = {
    async lockstep() {
      const about = "three replica processes, two equal votes; one client"
      const one = await startFramework(server.url, 1)
      const three = await startFramework(cluster.urls, 3)
      const onOne = { ...log, copies: 1, about: `one nats-server, ${about}` }
      const onThree = { ...log, copies: 2, about: `three nats-servers, ${about}` }
      return [
        named(`${LOCKSTEP}voted, log of one copy`, one, onOne),
        named(`${LOCKSTEP}voted, log of three copies`, three, onThree),
        {
          ...named(`${LOCKSTEP}the same, and the client combines adds`, three, {
            ...onThree,
            combines: true,
            about: `${onThree.about}, and one add for all calls that came for a key meanwhile`,
          }),
          counter: (key) => combined(three.adder(`combined/${key}`)),
        },
      ]
    },
    async "plain code"() {
      const floor = await startFloor(server.url, 1)
      const about = "one nats-server, three replica processes, two equal replies, nothing checked"
      return [named("plain code", floor, { ...log, copies: 1, about })]
    },
    restate: async (path) => [await startRestate(path)],
    etcd: startEtcd,
    "redis-always": async (path) => [await startRedisAlways(path)],
    "redis-everysec": async (path) => [await startRedisEverySecond(path)],
    postgres: async (path) => [await startPostgres(path)],
    nats: async () => [await startNats(server.url)],
  }
  for (const [name, start] of Object.entries(starts)) {
    const path = join(folder.path, name)
    await mkdir(path)
    try {
      for (const peer of await start(path)) subjects.push(new Subject(stack.use(peer)))
    } catch (cause) {
      if (!(cause instanceof PeerMissing)) throw cause
      skipped.push(`${name} is skipped: ${cause.message}`)
    }
  }
  return { subjects, skipped }
}

function named(name: string, contender: Contender, terms: Terms): Peer {
  return {
    name,
    terms,
    counter: (key) => contender.counter(key),
    [Symbol.asyncDispose]: async () => contender[Symbol.asyncDispose](),
  }
}

type Figures = ReturnType<typeof noFigures>

/** One of each round. */
function noFigures() {
  const none = (): Array<number> => []
  return {
    p50Ms: none(),
    p99Ms: none(),
    alone: none(),
    oneKey: none(),
    oneKeyMany: none(),
    some: none(),
    many: none(),
  }
}

/** A peer, and what it has acknowledged of each key. */
class Subject {
  readonly peer: Peer
  readonly figures: Figures = noFigures()
  readonly #audit: Audit

  constructor(peer: Peer) {
    this.peer = peer
    this.#audit = new Audit(KEYS.map((key) => peer.counter(key)))
  }

  async measure(forMs: number, figures: Figures): Promise<void> {
    const onAllKeys = (i: number): Promise<void> => this.#audit.add(i % KEYS.length)
    const alone = await callFor({ forMs, open: 1 }, onAllKeys)
    figures.p50Ms.push(alone.p50Ms)
    figures.p99Ms.push(alone.p99Ms)
    figures.alone.push(alone.perSecond)
    const onOneKey = (): Promise<void> => this.#audit.add(0)
    figures.oneKey.push((await callFor({ forMs, open: 64 }, onOneKey)).perSecond)
    if (this.peer.terms.takesTurns !== true)
      figures.oneKeyMany.push((await callFor({ forMs, open: 1000 }, onOneKey)).perSecond)
    figures.some.push((await callFor({ forMs, open: 64 }, onAllKeys)).perSecond)
    figures.many.push((await callFor({ forMs, open: 1000 }, onAllKeys)).perSecond)
  }

  check(): Promise<void> {
    return this.#audit.check(this.peer.name)
  }

  row(): Row {
    const { synced, copies, executed } = this.peer.terms
    const measured = Object.entries(this.figures).filter(([, values]) => values.length > 0)
    const figures = measured.flatMap(([figure, values]) => [
      [figure, median(values)] as const,
      [`${figure.replace(/Ms$/, "")}Spread`, spread(values)] as const,
    ])
    return {
      name: this.peer.name,
      figures: { ...Object.fromEntries(figures), syncedRank: SYNCED.indexOf(synced), copies, executed },
    }
  }
}

/** Beside the rows of Lockstep that promise as much; where none does, beside its first one, and it says so. */
function comparisonOf({ peer, figures }: Subject, subjects: ReadonlyArray<Subject>): ReadonlyArray<string> {
  if (peer.name.startsWith(LOCKSTEP)) return []
  const ours = subjects.filter((subject) => subject.peer.name.startsWith(LOCKSTEP))
  const like = ours.filter(
    ({ peer: { terms } }) =>
      terms.synced === peer.terms.synced &&
      terms.copies === peer.terms.copies &&
      (terms.combines === undefined || peer.terms.combines === true),
  )
  return (like.length > 0 ? like : ours.slice(0, 1)).map((lockstep) => {
    const times = (figure: keyof Figures): string =>
      ratio(median(lockstep.figures[figure]) / median(figures[figure]))
    const settings =
      like.length === 0
        ? "unlike settings: it promises less"
        : `like settings: ${lockstep.peer.name.slice(LOCKSTEP.length)}`
    const onOneKey =
      figures.oneKeyMany.length > 0
        ? `, 1,000 ${times("oneKeyMany")} ×`
        : ", 1,000 not measured: they take turns"
    return `/ ${peer.name} (${settings}): p50 ${times("p50Ms")} ×, 64 callers on one key ${times("oneKey")} ×${onOneKey}, 64 callers ${times("some")} ×, 1,000 callers ${times("many")} ×`
  })
}
