// Entries: a header, which is hashed and chained, and the public payload it commits to (section 2).

import { equal, fromUtf8, toBigInt } from "./bytes.mjs";
import { FrameError, parseFrame } from "./frame.mjs";
import { CONF_KINDS, MembersError, readMembers } from "./members.mjs";
import { unpack, UnpackError } from "./msgpack.mjs";
import { sha256 } from "./sha256.mjs";

/**
 * { entry, problem }: `entry` is what the header tells, null when it is no header; `problem` is empty when header and
 * payload belong together.
 */
export function readEntry(header, publicPart) {
  let entry = null;
  let publicHash;
  try {
    const [index, term, time, kind, hashed, digest, prevHash] = parseFrame("entry", header, 7);
    if (index.length !== 8 || term.length !== 8 || time.length !== 8) throw new FrameError("a number of another length");
    publicHash = hashed;
    entry = { index: toBigInt(index), term: toBigInt(term), timeUs: toBigInt(time), kind: fromUtf8(kind) };
    Object.assign(entry, { digest, prevHash, publicPart, hash: sha256(header) });
  } catch (error) {
    if (error instanceof FrameError || error instanceof TypeError) return { entry: null, problem: error.message };
    throw error;
  }
  return { entry, problem: payloadProblem(entry, publicHash) };
}

function payloadProblem(entry, publicHash) {
  if (entry.prevHash.length !== 32 || ![0, 32].includes(entry.digest.length)) return "a hash has the wrong length";
  if (!equal(sha256(entry.publicPart), publicHash)) return "the payload does not match its header";
  if (!CONF_KINDS.has(entry.kind) && entry.kind !== "MembersAnnounced") return "";
  try {
    entry.fields = unpack(entry.publicPart, { textKeys: true });
    if (!(entry.fields instanceof Map) || [...entry.fields.keys()].some((key) => typeof key !== "string")) {
      throw new UnpackError("not a map with text keys");
    }
    if (CONF_KINDS.has(entry.kind)) readMembers(entry.fields);
  } catch (error) {
    if (!(error instanceof UnpackError || error instanceof MembersError)) throw error;
    entry.fields ??= new Map();
    return CONF_KINDS.has(entry.kind) ? error.message : "";
  }
  return "";
}

/** Why `entry` may not stand right after `before` (null: it is the first); empty when it may. */
export function linkProblem(before, entry) {
  const { index, hash, term, timeUs } = before ?? { index: 0n, hash: new Uint8Array(32), term: 0n, timeUs: -1n };
  if (entry.index !== index + 1n) return `entry ${entry.index} stands after entry ${index}`;
  if (!equal(entry.prevHash, hash)) return "prev_hash is not the hash of the entry before";
  if (entry.term < term) return "the term falls";
  if (entry.timeUs <= timeUs) return "time does not rise";
  return "";
}
