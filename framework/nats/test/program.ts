import { startServer } from "@lockstep/nats"

// A program with a server of its own, which a test ends. It says where that is, and handles SIGTERM itself if it is told to, by ending later.
const server = await startServer()
if (process.argv[2] === "handles")
  process.once("SIGTERM", () => {
    process.stdout.write("draining\n")
    setTimeout(() => process.exit(7), 300)
  })
process.stdout.write(`${server.url}\n`)
