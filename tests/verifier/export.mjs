// The export: the public part of a log in one file (section 10).

import { equal, utf8 } from "./bytes.mjs";
import { unpack, UnpackError } from "./msgpack.mjs";

const MAGIC = utf8("ballot-export/v1\n");
const MAX_RECORD = (16 << 20) + (64 << 10);

export class ExportError extends Error {}

/** The records of an export, until it ends or breaks: then ExportError is thrown. */
export function* readExport(data) {
  if (!equal(data.subarray(0, MAGIC.length), MAGIC)) throw new ExportError("not a ballot export of version 1");
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  let [at, count, covered] = [MAGIC.length, 0, 0];
  for (;;) {
    if (at + 4 > data.length) throw new ExportError("the export ends without a closing record");
    const end = at + 4 + view.getUint32(at);
    if (end - at - 4 > MAX_RECORD || end > data.length) throw new ExportError("a record is too long or cut short");
    const record = readRecord(data.subarray(at + 4, end));
    yield record;
    at = end;
    if (record.type === "entry") count += 1;
    if (record.type === "checkpoint") covered = count;
    if (record.type !== "end") continue;
    if (record.count !== count || record.size !== covered) throw new ExportError("the end says other numbers");
    if (at !== data.length) throw new ExportError("bytes follow the end");
    return;
  }
}

function readRecord(data) {
  let fields;
  try {
    fields = unpack(data, { textKeys: true });
  } catch (error) {
    if (error instanceof UnpackError) throw new ExportError(error.message);
    throw error;
  }
  const isBytes = (value) => value instanceof Uint8Array;
  const isInt = (value) => typeof value === "number" || typeof value === "bigint";
  if (Array.isArray(fields)) {
    const [type, one, two] = fields;
    if (type === "entry" && fields.length === 3 && isBytes(one) && isBytes(two)) return { type, header: one, public: two };
    if (type === "checkpoint" && fields.length === 2 && isBytes(one)) return { type, note: one };
    if (type === "end" && fields.length === 3 && isInt(one) && isInt(two)) return { type, count: one, size: two };
  }
  throw new ExportError("not an entry, a checkpoint or the end");
}
