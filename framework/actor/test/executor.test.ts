import {
  type ActorContext,
  Command,
  defineAll,
  type Executed,
  type Execution,
  Executor,
  Query,
  Replicated,
} from "@lockstep/actor"
import { ActorError, decodeOutcomes, encode, type Mode } from "@lockstep/core"
import { describe, expect, it } from "vitest"

const mode = { kind: "test", replicas: 1, execution: "once" } as const satisfies Mode

@Replicated({ name: "Shelf", version: 1, mode })
class Shelf {
  items: Array<string> = []
  junk: unknown = null

  @Command()
  async put(item: string, context: ActorContext): Promise<string> {
    await Promise.resolve()
    this.items.push(item)
    return `${context.id} at ${context.now}`
  }

  @Command()
  take(): string {
    const item = this.items.pop()
    if (item === undefined) throw new ActorError("Empty", { left: 0 })
    return item
  }

  @Command()
  async spoil(): Promise<void> {
    await Promise.resolve()
    this.junk = () => undefined
  }

  @Command()
  async fail(): Promise<void> {
    this.items.push("before")
    await Promise.resolve()
    throw new TypeError("broken")
  }

  @Command()
  async leak(context: ActorContext): Promise<void> {
    leaked = context
  }

  @Command()
  fill(bytes: number): Uint8Array {
    this.items.push("filled")
    return new Uint8Array(bytes)
  }

  @Query()
  count(): number {
    return this.items.length
  }

  @Query()
  greedy(): number {
    this.items.push("more")
    return 1
  }
}

let leaked: ActorContext | undefined

function stage() {
  const uncaught: Array<string> = []
  const executor = new Executor({
    definitions: defineAll([Shelf]),
    clock: () => 5,
    random: () => 0.5,
    uuid: () => "uuid",
    onUncaught: ({ target }) => uncaught.push(target),
  })
  let row: Uint8Array | undefined
  let token = 0
  const run = async (
    member: string,
    args: ReadonlyArray<unknown> = [],
    kind: Execution["kind"] = "command",
  ) => {
    token++
    const execution: Execution = {
      token,
      client: "c",
      session: 1,
      number: 10 * token,
      actors: [{ type: "Shelf", key: "a", id: "Shelf a", row }],
      commands: [{ actor: 0, member, args: encode(args), trace: undefined }],
      kind,
    }
    const executed = await new Promise<Executed>((resolve) => executor.run(execution, resolve))
    row = executed.rows[0] ?? row
    expect(executed.token).toBe(token)
    return { outcome: decodeOutcomes(executed.outcomes, 1)[0], isChanged: executed.rows[0] !== undefined }
  }
  return { executor, run, uncaught }
}

describe("a command that runs once", () => {
  it("may be asynchronous, and knows its own name and the time of this place", async () => {
    const { run } = stage()
    expect(await run("put", ["apple"])).toEqual({
      outcome: { _tag: "Returned", value: "c/1/10 at 5" },
      isChanged: true,
    })
    expect(await run("count", [], "query")).toEqual({
      outcome: { _tag: "Returned", value: 1 },
      isChanged: false,
    })
    expect((await run("take")).outcome).toEqual({ _tag: "Returned", value: "apple" })
  })

  it("refuses as its author says, and leaves a row only where something changed", async () => {
    const { run, uncaught } = stage()
    await run("put", ["apple"])
    await run("take")
    expect(await run("take")).toEqual({
      outcome: { _tag: "Threw", code: "Empty", data: { left: 0 } },
      isChanged: false,
    })
    expect(uncaught).toEqual([])
  })

  it("keeps what it changed before it failed, and tells the operator", async () => {
    const { run, uncaught } = stage()
    expect(await run("fail")).toMatchObject({
      outcome: { _tag: "Threw", code: "TypeError" },
      isChanged: true,
    })
    expect((await run("count", [], "query")).outcome).toEqual({ _tag: "Returned", value: 1 })
    expect(uncaught).toEqual(["Shelf/fail"])
  })

  it("is undone where it leaves behind what is no data", async () => {
    const { run } = stage()
    await run("put", ["apple"])
    expect(await run("spoil")).toMatchObject({
      outcome: { _tag: "Refused", reason: "StateUnsupported" },
      isChanged: false,
    })
    expect((await run("take")).outcome).toEqual({ _tag: "Returned", value: "apple" })
  })

  it("is refused as a query that changes the actor, and the change is gone", async () => {
    const { run } = stage()
    await run("put", ["apple"])
    expect((await run("greedy", [], "query")).outcome).toMatchObject({ reason: "QueryChangedState" })
    expect((await run("count", [], "query")).outcome).toEqual({ _tag: "Returned", value: 1 })
  })

  it("cannot use its context afterwards", async () => {
    const { run } = stage()
    await run("leak")
    expect(() => leaked?.now).toThrow("after its command had ended")
  })

  it("is refused by name where there is no such thing, and by its arguments", async () => {
    const { run } = stage()
    expect((await run("nothing")).outcome).toMatchObject({ _tag: "Refused", reason: "UnknownMethod" })
    expect((await run("put", [1, 2, 3])).outcome).toMatchObject({
      _tag: "Refused",
      reason: "InvalidArgument",
    })
  })

  it("is refused the result that is too large, and what it did stays done", async () => {
    const { run } = stage()
    expect(await run("fill", [2 * 1024 * 1024])).toMatchObject({
      outcome: { _tag: "Refused", reason: "ResultTooLarge" },
      isChanged: true,
    })
    expect((await run("fill", [10])).outcome).toEqual({ _tag: "Returned", value: new Uint8Array(10) })
  })

  it("is undone alone where others of its batch ran on other actors", async () => {
    const { executor } = stage()
    const actors = ["a", "b"].map((key) => ({ type: "Shelf", key, id: key, row: undefined }))
    const commands = [
      { actor: 0, member: "put", args: encode(["apple"]), trace: undefined },
      { actor: 1, member: "spoil", args: encode([]), trace: undefined },
      { actor: 0, member: "take", args: encode([]), trace: undefined },
      { actor: 1, member: "put", args: encode(["pear"]), trace: undefined },
    ]
    const { outcomes, rows } = await new Promise<Executed>((resolve) =>
      executor.run(
        { token: 1, client: "c", session: 1, number: 0, actors, commands, kind: "command" },
        resolve,
      ),
    )
    expect(decodeOutcomes(outcomes, 4)).toMatchObject([
      { _tag: "Returned" },
      { _tag: "Refused", reason: "StateUnsupported" },
      { _tag: "Returned", value: "apple" },
      { _tag: "Refused", reason: "StateUnsupported" },
    ])
    expect(rows.map((row) => row !== undefined)).toEqual([true, false])
  })

  it("does not mix its outcomes with those of others that run meanwhile", async () => {
    const { executor } = stage()
    const outcome = (key: string, ...members: ReadonlyArray<string>): Promise<Executed> =>
      new Promise((resolve) =>
        executor.run(
          {
            token: 1,
            client: "c",
            session: 1,
            number: 0,
            actors: [{ type: "Shelf", key, id: key, row: undefined }],
            commands: members.map((member) => ({
              actor: 0,
              member,
              args: encode(member === "put" ? [key] : []),
              trace: undefined,
            })),
            kind: "command",
          },
          resolve,
        ),
      )
    await outcome("before", "put")
    const all = await Promise.all(["a", "b", "c"].map((key) => outcome(key, "put", "put", "take")))
    expect(all.map(({ outcomes }) => decodeOutcomes(outcomes, 3)[2])).toEqual(
      ["a", "b", "c"].map((value) => ({ _tag: "Returned", value })),
    )
  })

  it("answers at once where it is synchronous", () => {
    const { executor } = stage()
    let isDone = false
    const actors = [{ type: "Shelf", key: "a", id: "Shelf a", row: undefined }]
    const commands = [{ actor: 0, member: "take", args: encode([]), trace: undefined }]
    executor.run(
      { token: 1, client: "c", session: 1, number: 0, actors, commands, kind: "command" },
      () => (isDone = true),
    )
    expect(isDone).toBe(true)
  })
})
