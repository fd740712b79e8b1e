import { constants } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"

/** Where a write can sync what it writes, down to the disk: a sync of its own would be another way to a thread and back. */
const CAN_SYNC = process.platform === "linux"

/** To be written to by {@link writeSynced}. */
export function openSynced(file: string, flags = 0): Promise<FileHandle> {
  return open(file, constants.O_RDWR | flags | (CAN_SYNC ? constants.O_DSYNC : 0))
}

/** To a file of {@link openSynced}: all of it is on the disk when this is done. */
export async function writeSynced(handle: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done)
    done += bytesWritten
  }
  if (!CAN_SYNC) await handle.datasync()
}
