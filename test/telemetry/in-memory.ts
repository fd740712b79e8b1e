import { context, logs, trace } from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs"
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace"
import { afterAll, beforeAll, beforeEach } from "vitest"

/** An SDK for this process and all tests of a file, which samples every root and keeps what it is told, until the next test. */
export function inMemory() {
  const exporter = new InMemorySpanExporter()
  const records = new InMemoryLogRecordExporter()
  const spanProcessors = [new SimpleSpanProcessor({ exporter })]
  const provider = new TracerProvider({ spanProcessors })
  const contexts = new AsyncLocalStorageContextManager()
  const logger = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter: records })] })
  beforeAll(() => {
    context.setGlobalContextManager(contexts.enable())
    logs.setGlobalLoggerProvider(logger)
  })
  beforeEach(() => {
    trace.disable()
    trace.setGlobalTracerProvider(provider)
    exporter.reset()
    records.reset()
  })
  afterAll(async () => {
    trace.disable()
    logs.disable()
    context.disable()
    await provider.shutdown()
    await logger.shutdown()
  })
  const spans = (): ReadonlyArray<ReadableSpan> => exporter.getFinishedSpans()
  const named = (name: string) => spans().filter((span) => span.name === name)
  return { exporter, records, spanProcessors, spans, named }
}

export function isBelow(span: ReadableSpan, parent: ReadableSpan | undefined): boolean {
  return (
    span.parentSpanContext?.spanId === parent?.spanContext().spanId &&
    span.spanContext().traceId === parent?.spanContext().traceId
  )
}
