import { type Admitted, guard } from "@lockstep/actor"
import { beforeAll, beforeEach, describe, expect, it } from "vitest"

/** Asks a clock, as an SDK does; each has its own state, and one class. */
class Watch {
  readonly laps: Array<number> = []

  lap(name: string): this {
    this.laps.push(Date.now() + name.length)
    return this
  }

  twice(name: string): this {
    return this.lap(name).lap(name)
  }
}

const earlier = new Watch()
const calls: Array<{ readonly isSilent: boolean; readonly args: ReadonlyArray<unknown> }> = []
const instead: Admitted = ({ self, args, isSilent, original }) => {
  calls.push({ isSilent, args })
  return isSilent ? self : original()
}

const inCommand = <Result>(run: () => Result): Result => {
  guard.enter(() => "a test")
  try {
    return run()
  } finally {
    expect(guard.leave()).toBeUndefined()
  }
}

beforeAll(() => {
  guard.install()
  guard.admit(new Watch(), ["lap", "twice"], instead)
  guard.admit(new Watch(), ["lap", "twice"], instead)
})
beforeEach(() => {
  calls.length = 0
})

describe("a method that is admitted to commands", () => {
  it("runs without the guard, also on an object that was there before; the command goes on with it", () => {
    inCommand(() => expect(earlier.lap("one")).toBe(earlier))
    expect(earlier.laps).toHaveLength(1)
    expect(calls).toEqual([{ isSilent: false, args: ["one"] }])
  })

  it("is wrapped once", () => {
    const wrapped = Object.getOwnPropertyDescriptor(Watch.prototype, "lap")?.value as unknown
    guard.admit(earlier, ["lap"], instead)
    expect(Object.getOwnPropertyDescriptor(Watch.prototype, "lap")?.value).toBe(wrapped)
  })

  it("is itself outside of commands", () => {
    expect(new Watch().lap("one").laps).toHaveLength(1)
    expect(calls).toEqual([])
  })

  it("may call others: they are part of the one call", () => {
    const watch = new Watch()
    inCommand(() => watch.twice("two"))
    expect(watch.laps).toHaveLength(2)
    expect(calls).toHaveLength(1)
  })

  it("says that nothing is to be told while a command is silent, and goes on telling afterwards, whatever was thrown", () => {
    const watch = new Watch()
    inCommand(() => {
      expect(() =>
        guard.silently(() => {
          expect(watch.lap("silent")).toBe(watch)
          throw new Error("thrown")
        }),
      ).toThrow("thrown")
      watch.lap("told")
    })
    guard.silently(() => watch.lap("outside of a command"))
    expect(calls.map(({ isSilent }) => isSilent)).toEqual([true, false, true])
    expect(watch.laps).toHaveLength(1)
  })

  it("leaves the guard as it was where it throws", () => {
    class Broken {
      lap(): never {
        throw new Error("broken")
      }
    }
    guard.admit(new Broken(), ["lap"], ({ original }) => original())
    guard.enter(() => "a test")
    expect(() => new Broken().lap()).toThrow("broken")
    expect(() => Date.now()).toThrow("Date.now")
    expect(guard.leave()?.call).toBe("Date.now")
  })

  it("stays as it is where it cannot be wrapped", () => {
    const frozen = Object.freeze({ lap: () => 1 })
    expect(() => guard.admit(frozen, ["lap", "nothing"], instead)).not.toThrow()
    expect(frozen.lap()).toBe(1)
  })
})
