import type { ClientCounts, ClientInput, ClientOptions, ClientOutput, ClientProtocol } from "../mode.ts"

/** To be written. */
export class MasterClient<Call> implements ClientProtocol<Call> {
  constructor(_options: ClientOptions) {}
  get busy(): boolean {
    return false
  }
  get counts(): ClientCounts {
    throw new Error("to be written")
  }
  step(_input: ClientInput<Call>): ReadonlyArray<ClientOutput<Call>> {
    return []
  }
}
