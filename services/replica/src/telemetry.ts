/** Something that is told when the program ends. */
export interface Telemetry {
  shutdown(): Promise<void>
}

/**
 * Exports spans and metrics where OpenTelemetry's standard environment variables say where to; otherwise nothing is loaded. A replica follows the sampling of whoever
 * called it, and decides nothing of its own.
 */
export async function startTelemetry(
  env: NodeJS.ProcessEnv,
  replica: string,
): Promise<Telemetry | undefined> {
  const isWanted = [
    env["OTEL_EXPORTER_OTLP_ENDPOINT"],
    env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"],
    env["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"],
    env["OTEL_TRACES_EXPORTER"],
    env["OTEL_METRICS_EXPORTER"],
  ].some((value) => value !== undefined && value !== "" && value !== "none")
  if (!isWanted || env["OTEL_SDK_DISABLED"] === "true") return undefined
  env["OTEL_SERVICE_NAME"] ??= "lockstep-replica"
  // tells replicas apart, unless somebody has said how
  const stated = env["OTEL_RESOURCE_ATTRIBUTES"] ?? ""
  if (!stated.includes("service.instance.id="))
    env["OTEL_RESOURCE_ATTRIBUTES"] = [stated, `service.instance.id=${replica}`].filter(Boolean).join(",")
  const { NodeSDK } = await import("@opentelemetry/sdk-node")
  const sdk = new NodeSDK()
  sdk.start()
  return sdk
}
