import { describe, expect, it as test, layer, vi } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { LogUnavailable, UnknownGroup } from "lockstep"
import { type Development, develop } from "lockstep/develop"
import { type CallError, connect, ConnectError, Lockstep } from "lockstep/effect"
import { Ghost, Purse } from "./actors.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

/** A group of three replicas, as a service. */
class Group extends Context.Service<Group, Development>()("test/Group") {
  static readonly layer = Layer.effect(
    Group,
    Effect.acquireRelease(
      Effect.promise(() => develop([Purse])),
      (group) => Effect.promise(() => group.close()),
    ),
  )
}

const connected = Layer.unwrap(
  Effect.gen(function* () {
    const { servers } = yield* Group
    return Lockstep.layer({ servers })
  }),
).pipe(Layer.provideMerge(Group.layer))

layer(connected, { excludeTestServices: true })("a client that is a service", (it) => {
  it.effect("answers calls, once for each time that they are run", () =>
    Effect.gen(function* () {
      const { actor } = yield* Lockstep
      const put = actor(Purse, "p").put(2)
      expect([yield* put, yield* put]).toEqual([2, 4])
      const sums = yield* Effect.all([put, put, put], { concurrency: "unbounded" })
      expect(sums.toSorted((a, b) => a - b)).toEqual([6, 8, 10])
    }),
  )

  it.effect("fails with what an actor throws, by its code and data", () =>
    Effect.gen(function* () {
      const { actor } = yield* Lockstep
      const refused = yield* actor(Purse, "poor")
        .take(5)
        .pipe(Effect.catchTag("ActorError", ({ code, data }) => Effect.succeed({ code, data })))
      expect(refused).toEqual({ code: "TooFew", data: { coins: 0 } })
    }),
  )

  const wrong: ReadonlyArray<
    readonly [string, (actor: Lockstep["Service"]["actor"]) => Effect.Effect<unknown, CallError>]
  > = [
    ["of an actor that nobody hosts", (actor) => actor(Ghost, "g").boo()],
    ["with an argument of another type", (actor) => actor(Purse, "p").put("two" as never)],
    ["with an empty key", (actor) => actor(Purse, "").put(2)],
    ["with a key that is too long", (actor) => actor(Purse, "k".repeat(257)).put(2)],
  ]

  it.effect.each(wrong)("fails with InvalidArgument for a call %s", ([, call]) =>
    Effect.gen(function* () {
      const { actor } = yield* Lockstep
      const tookEffect = yield* call(actor).pipe(
        Effect.catchTag("InvalidArgument", (error) => Effect.succeed(error.tookEffect)),
      )
      expect(tookEffect).toBe("no")
    }),
  )

  it.effect("stops waiting when it is interrupted, and answers the next call", () =>
    Effect.gen(function* () {
      const { actor } = yield* Lockstep
      const purse = actor(Purse, "interrupted")
      const fiber = yield* Effect.forkChild(purse.put(1))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      expect(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)).toBe(true)
      expect([1, 2]).toContain(yield* purse.put(1)) // what was sent takes effect all the same
    }),
  )

  it.effect("is the same connection for code that uses promises", () =>
    Effect.gen(function* () {
      const { actor, promises } = yield* Lockstep
      yield* actor(Purse, "both").put(3)
      expect(yield* Effect.promise(() => promises.actor(Purse, "both").count())).toBe(3)
    }),
  )
})

describe("a connection", () => {
  test.live("fails where there is no server, and says what the matter is", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(connect({ servers: "nats://127.0.0.1:1" }))
      expect(error).toBeInstanceOf(ConnectError)
      expect(error.message).toMatch(/no NATS server could be used at nats:\/\/127\.0\.0\.1:1/)
      expect(error.cause).toBeInstanceOf(LogUnavailable)
    }),
  )

  test.live("fails where there is no such group, as a layer too", () =>
    Effect.gen(function* () {
      const { servers } = yield* Group
      const found = yield* Lockstep.pipe(
        Effect.map(({ promises }): unknown => promises.group),
        Effect.provide(Lockstep.layer({ servers, group: "mian" })),
        Effect.catchTag("ConnectError", ({ cause }) => Effect.succeed(cause)),
      )
      expect(found).toBeInstanceOf(UnknownGroup)
    }).pipe(Effect.provide(Group.layer)),
  )

  test.live("lasts until its scope closes", () =>
    Effect.gen(function* () {
      const { servers } = yield* Group
      const scope = yield* Scope.make()
      const { actor } = yield* connect({ servers }).pipe(Scope.provide(scope))
      expect(yield* actor(Purse, "p").put(1)).toBe(1)
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(actor(Purse, "p").put(1))
      expect(error).toMatchObject({ _tag: "Overloaded", tookEffect: "no" })
    }).pipe(Effect.provide(Group.layer)),
  )

  test.live("waits again for a command without a quorum, as often as it is told to", () =>
    Effect.gen(function* () {
      const { servers, hosts } = yield* Group
      const { actor, retry } = yield* connect({ servers, limits: { deadlineMs: 1500 } })
      yield* actor(Purse, "p").put(1)
      yield* Effect.promise(() => Promise.all([hosts[1]?.drain(), hosts[2]?.drain()]))
      const missing = yield* actor(Purse, "p")
        .put(1)
        .pipe(
          Effect.catchTag("NoQuorum", retry),
          Effect.catchTag("NoQuorum", (error) => Effect.succeed(error.missing)),
        )
      expect(missing).toEqual(["r1", "r2"])
    }).pipe(Effect.provide(Group.layer)),
  )
})
