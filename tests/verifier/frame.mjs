// Frames: the one byte format of whatever is hashed or signed (docs/protocol.md, section 1).

import { concat, equal, u32, utf8 } from "./bytes.mjs";
import { sha256 } from "./sha256.mjs";

export class FrameError extends Error {}

const head = (kind, count) => {
  const label = utf8(`ballot/v1/${kind}`);
  return concat(u32(label.length), label, u32(count));
};

export function frame(kind, ...fields) {
  return concat(head(kind, fields.length), ...fields.flatMap((field) => [u32(field.length), field]));
}

export const frameHash = (kind, ...fields) => sha256(frame(kind, ...fields));

/** H(rsa-key, modulus): how a key is named. */
export const keyHash = (modulus) => frameHash("rsa-key", modulus);

/** The `count` fields of a frame of this kind. Throws FrameError for anything that `frame` would not write. */
export function parseFrame(kind, data, count) {
  const start = head(kind, count);
  if (!equal(data.subarray(0, start.length), start)) throw new FrameError(`not a ${kind} frame of ${count} fields`);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const fields = [];
  let at = start.length;
  for (let number = 0; number < count; number++) {
    if (at + 4 > data.length) throw new FrameError(`${kind} frame is cut short`);
    const end = at + 4 + view.getUint32(at);
    fields.push(data.subarray(at + 4, end));
    at = end;
  }
  if (at !== data.length) throw new FrameError(`${kind} frame announces ${at} bytes and has ${data.length}`);
  return fields;
}
