import { ATTRIBUTES } from "../../framework/runtime/src/telemetry/names.ts"
import { attributesOf, type ReceivedSpan } from "./otlp.ts"

/** One life of a process: it began, and perhaps was killed. */
export interface Started {
  readonly atMs: number
  killedMs: number | undefined
}

/** What is known of a run beside its spans. */
export interface Run {
  readonly spans: ReadonlyArray<{ readonly instance: string; readonly span: ReceivedSpan }>
  /** The lives of each replica. Whoever is not in here has exported everything. */
  readonly lives: ReadonlyMap<string, ReadonlyArray<Started>>
  /** Do replicas vote: does each of them execute each call? */
  readonly isVoted: boolean
  /** Ids of spans that others made, and did not export here. */
  readonly outside: ReadonlySet<string>
  /** How often the caller had a call executed once more, by the id of its trace. */
  readonly retries: ReadonlyMap<string, number>
}

/** Kinds of spans, as OTLP counts them. */
const INTERNAL = 1
const CLIENT = 3
const PRODUCER = 4
const CONSUMER = 5

/** How long before its end a process may have made spans that it had not exported. */
const UNEXPORTED_MS = 3000

/** All that is wrong with what was received, in words; docs/telemetry.md draws how it ought to be. */
export function wrongIn(run: Run): ReadonlyArray<string> {
  const forest = new Forest(run)
  return [
    ...forest.twice(),
    ...forest.orphans(),
    ...forest.astray(),
    ...forest.misplaced(),
    ...forest.missing(),
    ...forest.replayed(),
  ]
}

type Kind = "call" | "send" | "vote" | "process" | "apply" | "replay" | "other"

/** A span, and what was said of it. */
interface Node {
  readonly id: string
  readonly parent: string
  readonly trace: string
  readonly instance: string
  readonly name: string
  readonly kind: Kind
  readonly spanKind: number
  readonly startMs: number
  readonly endMs: number
  /** Ids of spans. */
  readonly links: ReadonlyArray<string>
  readonly about: Readonly<Record<string, unknown>>
}

const NAMES: ReadonlyArray<readonly [RegExp, Kind]> = [
  [/^send (cmd|ask)\./, "send"],
  [/^process (cmd|ask)\./, "process"],
  [/^apply \S+\/\w+$/, "apply"],
  [/^vote \S+\/\w+$/, "vote"],
  [/^replay$/, "replay"],
  [/^[\w/]+\/\w+$/, "call"],
]

/** Below what each may stand. Of other kinds there may be more, anywhere. */
const PARENTS: Readonly<
  Record<Exclude<Kind, "replay" | "other" | "call">, { parent: Kind; spanKind: number }>
> = {
  send: { parent: "call", spanKind: PRODUCER },
  vote: { parent: "call", spanKind: INTERNAL },
  process: { parent: "send", spanKind: CONSUMER },
  apply: { parent: "process", spanKind: INTERNAL },
}

class Forest {
  readonly #run: Run
  readonly #nodes: ReadonlyArray<Node>
  readonly #byId: ReadonlyMap<string, Node>
  readonly #below: ReadonlyMap<string, ReadonlyArray<Node>>

  constructor(run: Run) {
    this.#run = run
    this.#nodes = run.spans.map(({ instance, span }) => nodeOf(instance, span))
    this.#byId = new Map(this.#nodes.map((node) => [node.id, node]))
    this.#below = Map.groupBy(this.#nodes, ({ parent }) => parent)
  }

  /** No span is told twice, and nothing is told twice in two spans. */
  *twice(): Iterable<string> {
    for (const [id, same] of Map.groupBy(this.#nodes, (node) => node.id))
      if (same.length > 1) yield `${same.length} spans have the id ${id}: ${same.map(told).join(", ")}`
    const processes = Map.groupBy(this.#of("process"), ({ instance, trace, parent, about }) =>
      [instance, trace, parent, about[ATTRIBUTES.logSeq]].join(),
    )
    for (const same of processes.values()) {
      const [first] = same
      const retries = this.#run.isVoted ? 0 : (this.#run.retries.get(first?.trace ?? "") ?? 0)
      if (first !== undefined && same.length > 1 + retries)
        yield `${first.instance} tells ${same.length} times: ${told(first)}`
    }
  }

  /** Every parent that is named is there. */
  *orphans(): Iterable<string> {
    for (const node of this.#nodes) {
      if (node.parent === "" || this.#byId.has(node.parent) || this.#run.outside.has(node.parent)) continue
      // a process span ends last, and may have been lost with its process
      if (node.kind !== "send" && this.#isLost(node.instance, node.endMs)) continue
      yield `${told(node)} has a parent that nobody exported`
    }
  }

  /** Every span that is linked to is there, too. */
  *astray(): Iterable<string> {
    const killed = [...this.#run.lives.keys()]
    for (const node of this.#nodes)
      for (const id of node.links)
        if (!this.#byId.has(id) && !killed.some((replica) => this.#isLost(replica, node.startMs)))
          yield `${told(node)} links to ${id}, which nobody exported`
  }

  /** The shape of the tree. */
  *misplaced(): Iterable<string> {
    for (const node of this.#nodes) {
      const above = this.#byId.get(node.parent)
      if (above !== undefined && above.trace !== node.trace)
        yield `${told(node)} is in another trace than its parent`
      switch (node.kind) {
        case "call":
          if (node.spanKind !== CLIENT) yield `${told(node)} is of kind ${node.spanKind}`
          yield* this.#amiss(node, "send", 1)
          if (isAnswered(node)) yield* this.#amiss(node, "vote", this.#run.isVoted ? 1 : 0)
          break
        case "send":
        case "vote":
        case "process":
        case "apply": {
          const { parent, spanKind } = PARENTS[node.kind]
          if (node.spanKind !== spanKind) yield `${told(node)} is of kind ${node.spanKind}`
          if (above !== undefined && above.kind !== parent) yield `${told(node)} is below ${told(above)}`
          if (node.parent === "") yield `${told(node)} has no parent`
          if (node.kind === "process") yield* this.#amiss(node, "apply", 1)
          break
        }
        case "replay":
          if (node.parent !== "") yield `${told(node)} is not the root of its trace`
          break
        case "other":
          break
      }
    }
  }

  /** Whoever executed a call tells of it: each that votes, or else one that was the master. */
  *missing(): Iterable<string> {
    const replicas = [...this.#run.lives.keys()]
    for (const call of this.#of("call").filter(isAnswered)) {
      const [send] = this.#childrenOf(call, "send")
      const tellers = new Set(this.#childrenOf(send, "process").map(({ instance }) => instance))
      const isMissed = (replica: string): boolean => !tellers.has(replica) && !this.#isExcused(replica, call)
      const missed = this.#run.isVoted ? replicas.filter(isMissed) : []
      for (const replica of missed) yield `${replica} says nothing of ${told(call)}`
      if (!this.#run.isVoted && tellers.size === 0 && replicas.every(isMissed))
        yield `nobody says anything of ${told(call)}`
    }
  }

  /** It executed the call when it had started again, or was killed before it could tell. */
  #isExcused(replica: string, { startMs, endMs, about }: Node): boolean {
    const seq = Number(about[ATTRIBUTES.logSeq])
    const isReplayed = this.#of("replay").some(
      (replay) =>
        replay.instance === replica &&
        seq > Number(replay.about[ATTRIBUTES.replayFrom]) &&
        seq <= Number(replay.about[ATTRIBUTES.replayTo]),
    )
    return isReplayed || this.#isLost(replica, startMs) || this.#isLost(replica, endMs)
  }

  /** What is executed once more is told in one span for each start, and in no other. */
  *replayed(): Iterable<string> {
    for (const [replica, lives] of this.#run.lives) {
      const replays = this.#of("replay").filter(({ instance }) => instance === replica)
      for (const [index, { atMs }] of lives.entries()) {
        const endMs = lives[index + 1]?.atMs ?? Number.POSITIVE_INFINITY
        const [replay, ...others] = replays.filter(({ startMs }) => startMs >= atMs && startMs < endMs)
        const wanted = this.#run.isVoted && index > 0 ? 1 : 0
        if (others.length > 0 || (replay === undefined && wanted === 1))
          yield `${replica} tells of ${others.length + Number(replay !== undefined)} replays in its life ${index}`
        if (replay === undefined) continue
        const again = this.#of("process").filter(
          ({ instance, startMs, about }) =>
            instance === replica &&
            startMs >= atMs &&
            startMs < endMs &&
            Number(about[ATTRIBUTES.logSeq]) <= Number(replay.about[ATTRIBUTES.replayTo]),
        )
        for (const node of again) yield `${replica} tells of ${told(node)}, which it replayed`
      }
    }
  }

  *#amiss(node: Node, kind: Kind, wanted: number): Iterable<string> {
    const found = this.#childrenOf(node, kind).length
    if (found === wanted) return
    if (found < wanted && this.#isLost(node.instance, node.endMs)) return
    yield `${told(node)} has ${found} spans below it that are ${kind}`
  }

  #of(kind: Kind): ReadonlyArray<Node> {
    return this.#nodes.filter((node) => node.kind === kind)
  }

  #childrenOf(node: Node | undefined, kind: Kind): ReadonlyArray<Node> {
    return (this.#below.get(node?.id ?? "none") ?? []).filter((child) => child.kind === kind)
  }

  /** Whether what this replica did then may have been lost, because it was killed right after. */
  #isLost(instance: string, atMs: number): boolean {
    const lives = this.#run.lives.get(instance) ?? []
    return lives.some(
      ({ killedMs }) => killedMs !== undefined && atMs > killedMs - UNEXPORTED_MS && atMs <= killedMs,
    )
  }
}

function nodeOf(instance: string, span: ReceivedSpan): Node {
  return {
    id: span.spanId,
    parent: span.parentSpanId,
    trace: span.traceId,
    instance,
    name: span.name,
    kind: NAMES.find(([pattern]) => pattern.test(span.name))?.[1] ?? "other",
    spanKind: span.kind,
    startMs: Number(BigInt(span.startTimeUnixNano) / 1_000_000n),
    endMs: Number(BigInt(span.endTimeUnixNano) / 1_000_000n),
    links: span.links.map(({ spanId }) => spanId),
    about: attributesOf(span),
  }
}

const told = ({ name, instance, id, trace }: Node): string => `"${name}" (${instance}, ${id} in ${trace})`

/** Decided, whatever the actor said. */
const isAnswered = ({ about }: Node): boolean => about[ATTRIBUTES.logSeq] !== undefined
