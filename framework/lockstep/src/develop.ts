export { develop, type Development, type DevelopOptions } from "@lockstep/runtime"
export { endWithUs, type Server, startServer } from "@lockstep/nats"
