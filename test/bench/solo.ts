import { stateMachine } from "lockstep"
import { profileOf } from "./profile.ts"

/** Profiles of a group that has one replica: it needs no others, so that one process is the whole of what is measured. */
export const Solo = profileOf(stateMachine({ faults: 0, faultModel: "crash" }))

export const actors = [Solo]
