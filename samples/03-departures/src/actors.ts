import { Airport } from "./airport.ts"

/** What a replica of this service hosts: `LOCKSTEP_MODULE` names this file. */
export const actors = [Airport]
