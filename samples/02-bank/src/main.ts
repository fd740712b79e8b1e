import { ActorError, connect, InvalidArgument } from "lockstep"
import { develop } from "lockstep/develop"
import { Branch } from "./account.ts"

await using group = await develop([Branch])
await using client = await connect({ servers: group.servers })
const branch = client.actor(Branch, "main-street")

const owners = ["ada", "grace", "edsger", "leslie"]
for (const owner of owners) await branch.deposit(owner, 1000n)

// Two hundred transfers at once, some of them more than there is.
let moved = 0
let refused = 0
await Promise.all(
  Array.from({ length: 200 }, async (_, i) => {
    const from = owners[i % owners.length] ?? "ada"
    const to = owners[(i * 7 + 1) % owners.length] ?? "ada"
    try {
      await branch.transfer(from, to, BigInt((i * 37) % 900) + 1n)
      moved++
    } catch (error) {
      if (error instanceof ActorError && error.code === "InsufficientFunds") refused++
      else throw error
    }
  }),
)
console.log(
  `${moved} transfers were made and ${refused} refused; the total is ${await branch.total()} of 4000`,
)

// What the schema refuses never reaches the log.
try {
  await branch.deposit("ada", -5n)
} catch (error) {
  if (error instanceof InvalidArgument) console.log(`refused: ${error.message}`)
  else throw error
}
process.exitCode = (await branch.total()) === 4000n ? 0 : 1
