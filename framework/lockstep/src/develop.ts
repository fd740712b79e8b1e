export { develop, type Development, type DevelopOptions } from "@lockstep/runtime"
export { type Server, startServer } from "@lockstep/nats"
