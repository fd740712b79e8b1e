import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openConnection } from "@lockstep/nats"
import { ReplicaId } from "@lockstep/core"
import type { ReignBegun, ReignStatus } from "@lockstep/replication"
import { handOver, HandOverUnfinished, type Host, host, type HostEvent, Query, Replicated } from "lockstep"
import { type Server, startServer } from "lockstep/develop"
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { rejection } from "./rejection.ts"
import { scripted, type ScriptedReplica } from "./scripted-mode.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })
const soon = { timeout: 10_000 }
const replicas = ["r0", "r1", "r2"]
const made = new Map<ReplicaId, Array<ScriptedReplica>>()

@Replicated({ name: "test/Once", version: 1, mode: scripted(made) })
class Once {
  @Query()
  read(): number {
    return 1
  }
}

const root = mkdtempSync(join(tmpdir(), "lockstep-once-"))
let server: Server
let group = "g0"
let events: Array<HostEvent> = []
let onEvent: (event: HostEvent) => void = () => undefined
beforeAll(async () => {
  server = await startServer()
})
beforeEach(() => {
  group = `g${Number(group.slice(1)) + 1}`
  events = []
  onEvent = () => undefined
  made.clear()
})
afterAll(async () => {
  await server.stop()
  rmSync(root, { recursive: true, force: true })
})

async function start(replica: string, dataDir?: string): Promise<Host> {
  return host({
    servers: server.url,
    group,
    actors: [Once],
    replica,
    create: { replicas },
    onEvent: (event) => {
      events.push(event)
      onEvent(event)
    },
    ...(dataDir !== undefined && { dataDir }),
  })
}

/** The newest protocol of a replica. */
function protocolOf(replica: string): ScriptedReplica {
  const protocol = made.get(ReplicaId(replica))?.at(-1)
  if (protocol === undefined) throw new Error(`${replica} has no protocol`)
  return protocol
}

/** Lets the protocols of these replicas say something at their next message of a client. */
async function prompt(replica: string): Promise<void> {
  await using connection = await openConnection({ servers: server.url, name: "prompter" })
  connection.publish(`ask.${group}.0.${replica}`, Buffer.from("go on"))
  await connection.flush()
}

function reign(master: string, given: Partial<ReignStatus> = {}): ReignStatus {
  return {
    epoch: 1,
    master: ReplicaId(master),
    inSync: replicas.map(ReplicaId),
    acknowledgements: 2,
    degraded: false,
    position: 0,
    lossWindow: 0,
    isMaster: false,
    mayLeave: true,
    leased: true,
    committed: 0,
    lag: new Map(),
    truncated: 0,
    degradedCommands: 0,
    failovers: 0,
    margin: undefined,
    ...given,
  }
}

/** Says of this master that it was elected just now, and is another replica. */
function reportOf(replica: string): ReignBegun {
  const { epoch, master, inSync, acknowledgements, degraded, position, lossWindow } = reign(replica)
  const report = { epoch, master, inSync, acknowledgements, degraded, position, lossWindow }
  return { ...report, cause: "first", before: undefined, isMaster: false }
}

const bytes = (text: string) => Buffer.from(text)

describe("a seat of a mode in which one replica executes", () => {
  it("tells the time as often as the mode says, and with every input", async () => {
    await using _ = await start("r0")
    const { inputs, times } = protocolOf("r0")
    await expect.poll(() => inputs.filter(({ _tag }) => _tag === "Tick").length, soon).toBeGreaterThan(3)
    expect(times.every((time) => typeof time === "number")).toBe(true)
    expect(times).toEqual(times.toSorted((a, b) => (a ?? 0) - (b ?? 0)))
  })

  it("tells one peer what is for it, and all what is for all", async () => {
    await using stack = new AsyncDisposableStack()
    for (const replica of replicas) stack.use(await start(replica))
    protocolOf("r0").answer = ({ _tag }) =>
      _tag === "Message"
        ? [
            { _tag: "Tell", to: ReplicaId("r1"), bytes: bytes("for r1") },
            { _tag: "Tell", bytes: bytes("for all") },
          ]
        : []
    await prompt("r0")
    const heard = (replica: string) =>
      protocolOf(replica).told.map((input) =>
        input._tag === "Peer" ? `${input.from}: ${Buffer.from(input.bytes).toString()}` : input._tag,
      )
    await expect.poll(() => heard("r1"), soon).toEqual(["r0: for r1", "r0: for all"])
    await expect.poll(() => heard("r2"), soon).toEqual(["r0: for all"])
    expect(heard("r0")).toEqual(["Message"])
  })

  it.each(["on a disk", "without a disk"])(
    "says when the journal has what was written to it, %s",
    async (where) => {
      const dataDir = where === "on a disk" ? mkdtempSync(join(root, "data-")) : undefined
      const first = await start("r0", dataDir)
      const protocol = protocolOf("r0")
      protocol.answer = ({ _tag }) =>
        _tag === "Message"
          ? [
              { _tag: "Journal", write: 1, from: 1, records: [bytes("a"), bytes("b")] },
              { _tag: "Journal", write: 2, from: 2, records: [bytes("c")] },
            ]
          : []
      await prompt("r0")
      await expect.poll(() => protocol.told.at(-1), soon).toEqual({ _tag: "Journaled", write: 2 })
      await first.drain()
      await using _ = await start("r0", dataDir)
      expect(protocolOf("r0").journal).toEqual(dataDir === undefined ? [] : ["a", "c"])
      expect(protocolOf("r0").incarnation).not.toBe(protocol.incarnation)
      expect(protocolOf("r0").incarnation).not.toBe("")
    },
  )

  it("begins anew, in another life, with an empty journal, where its protocol wants to", async () => {
    const dataDir = mkdtempSync(join(root, "data-"))
    const first = await start("r0", dataDir)
    const protocol = protocolOf("r0")
    protocol.answer = ({ _tag }) => {
      if (_tag === "Message") return [{ _tag: "Journal", write: 1, from: 1, records: [bytes("a")] }]
      if (_tag !== "Journaled") return []
      const report = { reason: "state-diverged", detail: "it was wrong", applied: 0 } as const
      return [{ _tag: "Rejoin", report: { ...report, chain: protocol.status.chain } }]
    }
    await prompt("r0")
    await expect.poll(() => protocolOf("r0") === protocol, soon).toBe(false)
    expect(protocolOf("r0").journal).toEqual([])
    expect(protocolOf("r0").incarnation).not.toBe(protocol.incarnation)
    await first.drain()
    await using _ = await start("r0", dataDir)
    expect(protocolOf("r0").journal).toEqual([])
  })

  it("carries out all that one input came to before the next input, also one that comes of it", async () => {
    await using r0 = await start("r0")
    await using _ = await start("r1")
    const report = reportOf("r0")
    onEvent = ({ event }) => event === "reign" && r0.handOver({ to: "r1" })
    const say = (text: string) => ({ _tag: "Tell", bytes: bytes(text) }) as const
    protocolOf("r0").answer = ({ _tag }) => {
      if (_tag === "HandOver") return [say("then that")]
      return _tag === "Message" ? [{ _tag: "Reign", report }, say("first this")] : []
    }
    await prompt("r0")
    const heard = () =>
      protocolOf("r1").told.flatMap((input) =>
        input._tag === "Peer" ? [Buffer.from(input.bytes).toString()] : [],
      )
    await expect.poll(heard, soon).toEqual(["first this", "then that"])
  })

  it("tells of another master in an event", async () => {
    await using _ = await start("r0")
    const report = reportOf("r1")
    protocolOf("r0").answer = ({ _tag }) => (_tag === "Message" ? [{ _tag: "Reign", report }] : [])
    await prompt("r0")
    // a replica on a busy machine is asked before it has attached to the log
    const reigns = () => events.filter(({ event }) => event === "reign")
    await expect.poll(reigns, soon).toEqual([{ event: "reign", partition: 0, ...report }])
  })
})

describe("a replica that is to end", () => {
  it("says so until nobody waits for it any more", async () => {
    const leaving = await start("r0")
    const protocol = protocolOf("r0")
    protocol.reign = reign("r1", { mayLeave: false })
    let said = 0
    protocol.answer = ({ _tag }) => {
      if (_tag === "Leave" && ++said === 3) protocol.reign = reign("r1")
      return []
    }
    await leaving.drain()
    expect(said).toBe(3)
  })

  it("ends at once where nobody waits for it, and after a while where somebody does for ever", async () => {
    const free = await start("r0")
    const first = protocolOf("r0")
    first.reign = reign("r0", { isMaster: true })
    await free.drain()
    expect(first.told.filter(({ _tag }) => _tag === "Leave")).toEqual([])
    const again = await start("r0")
    const second = protocolOf("r0")
    second.reign = reign("r1", { mayLeave: false })
    await again.drain()
    expect(second.told.filter(({ _tag }) => _tag === "Leave")).not.toEqual([])
  })
})

describe("an operator who hands over", () => {
  /** Three replicas, which do what they are asked to, or nothing. */
  async function three(does: "obey" | "nothing"): Promise<AsyncDisposableStack> {
    const stack = new AsyncDisposableStack()
    for (const replica of replicas) stack.use(await start(replica))
    for (const replica of replicas) {
      const protocol = protocolOf(replica)
      protocol.reign = reign("r0", { leased: replica === "r0" })
      protocol.answer = (input) => {
        const isMaster = protocol.reign?.master === replica
        const to = input._tag === "HandOver" ? input.to : undefined
        if (to !== undefined && does === "obey" && isMaster)
          for (const other of replicas)
            protocolOf(other).reign = reign(to, { epoch: 2, leased: other === to })
        return []
      }
    }
    return stack
  }

  it("is answered when the other one says that it is the master, and asks for nothing where it is so already", async () => {
    await using _ = await three("obey")
    expect(await handOver({ servers: server.url, group, to: "r1" })).toEqual(new Map([[0, 2]]))
    const asked = () => replicas.map((replica) => protocolOf(replica).told.length)
    const before = asked()
    expect(before[0]).toBeGreaterThan(0)
    expect(await handOver({ servers: server.url, group, to: "r1", partition: 0 })).toEqual(new Map([[0, 2]]))
    expect(asked()).toEqual(before)
  })

  it("is told who is the master, and who is in sync, where nothing comes of it in time", async () => {
    await using _ = await three("nothing")
    const error = await rejection(handOver({ servers: server.url, group, to: "r2", deadlineMs: 600 }))
    expect(error).toBeInstanceOf(HandOverUnfinished)
    expect(error).toMatchObject({ partition: 0, master: "r0" })
    expect(error.message).toMatch(
      /^r2 is not seen to be the master of partition 0 yet: in epoch 1 r0 is, r0, r1, r2 are in sync\. .*say it again/,
    )
    // a wish may be lost: it was told more than once
    const wishes = protocolOf("r0").told.filter(({ _tag }) => _tag === "HandOver")
    expect(wishes.length).toBeGreaterThan(1)
  })

  it("is told that nobody answers, where nobody does", async () => {
    const only = await start("r0")
    await only.drain()
    const error = await rejection(handOver({ servers: server.url, group, to: "r0", deadlineMs: 300 }))
    expect(error.message).toMatch(/no replica of a class with a single master was heard of/)
  })

  it("is refused where the replica has no vote, or there is no such partition", async () => {
    await using _ = await start("r0")
    const options = { servers: server.url, group }
    await expect(handOver({ ...options, to: "r9" })).rejects.toThrow(/r9 has no vote .* r0, r1, r2 have/)
    await expect(handOver({ ...options, to: "r0", partition: 1 })).rejects.toThrow(
      /partitions 0 to 0, and no 1/,
    )
  })

  it("may be the program that runs a replica", async () => {
    await using r0 = await start("r0")
    r0.handOver({ to: "r1", partition: 1 })
    r0.handOver({ to: "r2" })
    expect(protocolOf("r0").told).toEqual([{ _tag: "HandOver", to: "r2" }])
  })
})
