import { MODES } from "../conformance/modes.ts"
import { walletIn } from "../conformance/wallet.ts"

const mode = MODES[process.env["MODE"] ?? ""]
if (mode === undefined) throw new Error("MODE names none of the modes")

/** What a replica process of the tests hosts. */
export const actors = [walletIn(mode)]
