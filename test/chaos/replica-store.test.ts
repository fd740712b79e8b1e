import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { Random } from "@lockstep/testing"
import { describe, expect, it } from "vitest"
import { canFillDisks, emptyDisk, fillDisk, ReplicaStore } from "./replica-store.ts"

function fixture() {
  const root = mkdtempSync(join(tmpdir(), "lockstep-store-test-"))
  const directory = join(root, "r0")
  return {
    directory,
    file: join(directory, "main-0-r0.sqlite"),
    store: new ReplicaStore(directory),
    [Symbol.dispose]: () => rmSync(root, { recursive: true }),
  }
}

describe("a replica's store", () => {
  it("comes back as it was at the first copy, or at the last one", async () => {
    using here = fixture()
    await here.store.putBack("first") // there is none: nothing is left
    mkdirSync(here.directory)
    const write = (text: string): void => writeFileSync(here.file, text)
    for (let i = 0; i < 9; i++) {
      write(String(i))
      await here.store.keepCopy(i % 2 === 0 ? "whole" : "torn")
    }
    write("now")
    expect(here.store.copies).toBe(4)
    await here.store.putBack("first")
    expect(readFileSync(here.file, "utf8")).toBe("0")
    await here.store.putBack("last")
    expect(readFileSync(here.file, "utf8")).toBe("8")
  })

  it("has as many bits flipped as it was told, and keeps its length", async () => {
    using here = fixture()
    mkdirSync(here.directory)
    const before = Buffer.alloc(10_000)
    writeFileSync(here.file, before)
    await here.store.damage(new Random(1), 5)
    const after = readFileSync(here.file)
    expect(after.length).toBe(before.length)
    expect(after.filter((byte) => byte !== 0).length).toBe(5)
  })
})

/** Writes to a database again and again, and says each time whether it could. */
const WRITER = `
const { DatabaseSync } = require("node:sqlite")
const database = new DatabaseSync(process.argv[1])
database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB)")
const insert = database.prepare("INSERT INTO t VALUES (?)")
setInterval(() => {
  try { insert.run(new Uint8Array(20000)); console.log("written") }
  catch (error) { console.log(error.code) }
}, 20)`

describe.runIf(
  canFillDisks, // it takes prlimit, a tool of util-linux
)("a disk without room", () => {
  it("makes SQLite fail in a running process, which goes on when there is room again", async () => {
    using here = fixture()
    mkdirSync(here.directory)
    const child = spawn(process.execPath, ["-e", WRITER, here.file], { stdio: ["ignore", "pipe", "inherit"] })
    try {
      const lines = createInterface({ input: child.stdout })
      let last = ""
      lines.on("line", (line) => (last = line))
      await expect.poll(() => last, { timeout: 20_000 }).toBe("written")
      fillDisk(child.pid ?? 0)
      await expect.poll(() => last).toBe("ERR_SQLITE_ERROR")
      emptyDisk(child.pid ?? 0)
      await expect.poll(() => last).toBe("written")
    } finally {
      child.kill("SIGKILL")
    }
  })
})
