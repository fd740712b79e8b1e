/** The same text as infra/nats/development.conf (a test compares them), for users who install the package alone. */
export const DEVELOPMENT_CONFIG = `# One nats-server for a developer's machine, for \`npm start\` and for tests. Entries are on the disk before they are
# acknowledged; there is one copy of them. Start it by hand with
#   nats-server -c infra/nats/development.conf -p 4222 -sd ./store
# (\`startServer\` of @lockstep/nats does the same, with a free port and a temporary folder.)
host: "127.0.0.1"

jetstream {
  # The default, two minutes, loses acknowledged entries at a power failure.
  sync_interval: always
}

max_payload: 1MB

# Lets replicas read how the servers write to disk, so that they can refuse to start on unsafe settings.
accounts {
  SYS {
    exports: [{ service: "$SYS.REQ.SERVER.PING.JSZ", response_type: stream }]
  }
  LOCKSTEP {
    jetstream: enabled
    users: [{ user: lockstep, password: lockstep }]
    imports: [
      { service: { account: SYS, subject: "$SYS.REQ.SERVER.PING.JSZ" }, to: "lockstep.settings" }
    ]
  }
}
system_account: SYS
no_auth_user: lockstep
`
