import { freePorts } from "@lockstep/nats"
import { existsSync } from "node:fs"
import { type ClientHttp2Session, connect } from "node:http2"
import { join } from "node:path"
import type { Peer } from "../contender.ts"
import { findProgram, PeerMissing, PEERS_DIR, startProgram, startScript, versionOf } from "./program.ts"

const SDK = join(PEERS_DIR, "node_modules/@restatedev/restate-sdk/dist/index.js")
const SESSIONS = 4

/** A virtual object per key, in a process of its own, called through the ingress of one server with its defaults. */
export async function startRestate(folder: string): Promise<Peer> {
  const command = findProgram("restate-server")
  if (!existsSync(SDK)) throw new PeerMissing("restate-server")
  const stack = new AsyncDisposableStack()
  try {
    const service = stack.use(await startScript("restate-counter.ts", [SDK]))
    const [ingress, admin, node] = await freePorts(3)
    const server = await startProgram({
      command,
      args: ["--no-logo", "--base-dir", join(folder, "restate")],
      env: {
        RESTATE_LISTEN_MODE: "tcp",
        RESTATE_BIND_IP: "127.0.0.1",
        RESTATE_BIND_PORT: String(node),
        RESTATE_INGRESS__BIND_PORT: String(ingress),
        RESTATE_ADMIN__BIND_PORT: String(admin),
        RESTATE_DISABLE_TELEMETRY: "true",
        RESTATE_LOG_FILTER: "warn",
      },
      ready: async () =>
        (await answers(`http://127.0.0.1:${admin}/health`)) &&
        (await answers(`http://127.0.0.1:${ingress}/restate/health`)),
    })
    stack.use(server)
    await register(`http://127.0.0.1:${admin}`, `http://127.0.0.1:${service.line}`)
    const sessions = Array.from({ length: SESSIONS }, () => connect(`http://127.0.0.1:${ingress}`))
    stack.defer(() => sessions.forEach((session) => session.destroy()))
    let next = 0
    return {
      name: "Restate: virtual object",
      terms: {
        synced: "each write",
        copies: 1,
        executed: 1,
        takesTurns: true,
        about: `server ${versionOf(command, /^restate-server (\S+)/)}, its defaults (one node, 24 partitions, its log synced); HTTP/2, ${SESSIONS} connections`,
      },
      counter: (key) => () => add(sessions[next++ % SESSIONS], key),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  } catch (cause) {
    await stack.disposeAsync()
    throw cause
  }
}

/** By hand, not by its client: that goes by HTTP/1.1, with a connection for each call in flight. */
function add(session: ClientHttp2Session | undefined, key: string): Promise<number> {
  return new Promise((resolve, reject) => {
    if (session === undefined) throw new Error("there is no session")
    const stream = session.request({
      ":method": "POST",
      ":path": `/Counter/${key}/add`,
      "content-type": "application/json",
    })
    let status: number | undefined
    let text = ""
    stream.setEncoding("utf8")
    stream.once("response", (headers) => (status = headers[":status"]))
    stream.on("data", (chunk: string) => (text += chunk))
    stream.once("error", reject)
    stream.once("end", () =>
      status === 200 ? resolve(Number(text)) : reject(new Error(`Restate answered ${status}: ${text}`)),
    )
    stream.end("1")
  })
}

async function answers(url: string): Promise<boolean> {
  const response = await fetch(url)
  await response.body?.cancel()
  return response.ok
}

async function register(admin: string, uri: string): Promise<void> {
  const response = await fetch(`${admin}/deployments`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ uri }),
  })
  if (!response.ok) throw new Error(`Restate refuses its service: ${await response.text()}`)
  await response.body?.cancel()
}
