// Receipts: proof, to keep, that a ballot is in the log (section 10).

import { concat, equal, fromUtf8, toBigInt, unbase64, utf8 } from "./bytes.mjs";
import { readEntry } from "./entry.mjs";
import { FrameError, frameHash, parseFrame } from "./frame.mjs";
import { readMembers, voters } from "./members.mjs";
import { NoteError, verifyNote } from "./note.mjs";
import { isIncluded, leafHash } from "./tree.mjs";

const MAGIC = "c2sp.org/tlog-proof@v1";
const MAX_PROOF = 63;

export class ReceiptError extends Error {}

const demand = (holds, reason) => {
  if (!holds) throw new ReceiptError(reason);
};

/** The members that a genesis file names. */
export function foundersOf(genesisFile) {
  const { entry } = readEntry(...parseFrame("genesis-file", genesisFile, 2));
  return readMembers(entry.fields);
}

function parse(data) {
  const end = data.findIndex((byte, at) => byte === 10 && data[at + 1] === 10);
  demand(end >= 0 && end + 2 < data.length, "a receipt is a proof, an empty line and a checkpoint");
  const [magic, extra, index, ...hashes] = fromUtf8(data.subarray(0, end)).split("\n");
  demand(magic === MAGIC && extra?.startsWith("extra ") && /^index (0|[1-9]\d{0,17})$/.test(index), "another format");
  const frame = unbase64(extra.slice(6));
  const proof = hashes.map(unbase64);
  demand(frame !== null && proof.every((node) => node?.length === 32) && proof.length <= MAX_PROOF, "not canonical");
  const [header, salt] = parseFrame("receipt", frame, 2);
  return { index: Number(index.slice(6)), header, salt, proof, note: data.subarray(end + 2) };
}

/** The note in a receipt, none of its signatures verified. Throws ReceiptError, FrameError. */
export const noteOf = (data) => parse(data).note;

/**
 * { index, checkpoint }: the entry in which the receipt proves, under these members, that the ballot `body` is recorded,
 * and what they signed. Throws ReceiptError where it does not.
 */
export async function checkReceipt(data, members, body) {
  try {
    const receipt = parse(data);
    const checkpoint = await verifyNote(receipt.note, members.origin, voters(members));
    const leaf = leafHash(receipt.header);
    const { size, root } = checkpoint;
    demand(isIncluded(leaf, receipt.index, Number(size), receipt.proof, root), "the proof does not lead to the root");
    const [index, , , kind, , digest] = parseFrame("entry", receipt.header, 7);
    demand(index.length === 8 && toBigInt(index) === BigInt(receipt.index + 1), "another place");
    demand(equal(kind, utf8("BallotCast")) && receipt.salt.length === 32, "not the receipt of a cast");
    demand(equal(frameHash("private", receipt.salt, concat(body)), digest), "the recorded ballot is not this one");
    return { index: receipt.index + 1, checkpoint };
  } catch (error) {
    if (error instanceof FrameError || error instanceof NoteError) throw new ReceiptError(error.message);
    throw error;
  }
}
