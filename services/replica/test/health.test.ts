import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Host } from "lockstep"
import { describe } from "vitest"
import { serveHealth } from "../src/health.ts"

/** As much of a host as the health server looks at. */
function hosting(state: { readonly live: boolean; readonly caughtUp: boolean }): Host {
  const partition = {
    applied: 7,
    chain: "c0ffee",
    caughtUp: state.caughtUp,
    malformed: 2,
    roster: { epoch: 3 },
    schema: { number: 4 },
    waits: "for the next build",
    role: "voter",
    reign: { epoch: 2, master: "r1", inSync: ["r0", "r1"], lag: new Map([["r0", 5]]) },
    stateDigest: () => "",
  }
  return { replica: "r0", group: { group: "main" }, status: [partition], ...state } as unknown as Host
}

const get = (url: string) =>
  Effect.promise(async () => {
    const response = await fetch(url)
    return { status: response.status, body: await response.json() }
  })

const free = { host: "127.0.0.1", port: 0 }

describe("the health server", () => {
  it.live.each([
    [
      { live: true, caughtUp: true },
      { "/live": 200, "/ready": 200, "/status": 200 },
    ],
    [
      { live: true, caughtUp: false },
      { "/live": 200, "/ready": 503, "/status": 200 },
    ],
    [
      { live: false, caughtUp: true },
      { "/live": 503, "/ready": 503, "/status": 503 },
    ],
  ] as const)("answers for a replica that is %j", ([state, expected]) =>
    Effect.gen(function* () {
      const url = yield* serveHealth(hosting(state), free)
      const paths = Object.keys(expected)
      const answers = yield* Effect.forEach(paths, (path) => get(`${url}${path}`))
      expect(Object.fromEntries(paths.map((path, i) => [path, answers[i]?.status]))).toEqual(expected)
      expect(answers[2]?.body).toEqual({
        replica: "r0",
        group: "main",
        ...state,
        partitions: [
          {
            partition: 0,
            applied: 7,
            chain: "c0ffee",
            caughtUp: state.caughtUp,
            malformed: 2,
            epoch: 3,
            schema: 4,
            waits: "for the next build",
            role: "voter",
            reign: { epoch: 2, master: "r1", inSync: ["r0", "r1"], lag: { r0: 5 } },
          },
        ],
      })
    }),
  )

  it.live("answers 404 elsewhere, and says what there is", () =>
    Effect.gen(function* () {
      const url = yield* serveHealth(hosting({ live: true, caughtUp: true }), free)
      const answer = yield* get(`${url}/metrics`)
      expect(answer).toEqual({ status: 404, body: { error: "ask for /live, /ready or /status" } })
    }),
  )

  it.live("ends with its scope", () =>
    Effect.gen(function* () {
      const url = yield* Effect.scoped(serveHealth(hosting({ live: true, caughtUp: true }), free))
      const error = yield* Effect.flip(Effect.tryPromise(() => fetch(url)))
      expect(error).toBeDefined()
    }),
  )

  it.live("says which port it cannot have", () =>
    Effect.gen(function* () {
      const other = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const server = createServer()
          await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
          return server
        }),
        (server) => Effect.sync(() => server.close()),
      )
      const { port } = other.address() as AddressInfo
      const error = yield* Effect.flip(
        serveHealth(hosting({ live: true, caughtUp: true }), { host: "127.0.0.1", port }),
      )
      expect(error.message).toMatch(
        new RegExp(`the health server cannot listen on 127\\.0\\.0\\.1, port ${port}: .*EADDRINUSE`),
      )
    }),
  )
})
