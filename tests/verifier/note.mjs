// Checkpoints: C2SP signed notes that a majority of the members signed (docs/protocol.md, section 4).

import { concat, fromUtf8, hex, toBigInt, unbase64, unhex, utf8 } from "./bytes.mjs";
import { isModulus, verifyPss } from "./rsa.mjs";
import { sha256 } from "./sha256.mjs";

const { subtle } = globalThis.crypto;
const MAX_NOTE_BYTES = 64 * 1024;
const MAX_LINES = 64;
const MAX_SIZE = 2n ** 63n - 1n;
const KEY_ID = 4;
const COSIGNATURE = Uint8Array.of(4);
const RSA_PSS = concat(Uint8Array.of(0xff), utf8("ballot-rsa-pss-sha384"));
// SubjectPublicKeyInfo of an RSA-3072 key with exponent 65537, around its modulus.
const SPKI_HEAD = unhex("308201a2300d06092a864886f70d01010105000382018f003082018a0282018100");
const SPKI_TAIL = unhex("0203010001");
const SPACE = /[\s\x1c-\x1f\x85]/u;

export class NoteError extends Error {}

const refuse = (reason) => {
  throw new NoteError(reason);
};

const isControl = (string) => [...string].some((character) => character < " ");

export const isKeyName = (name) => name !== "" && !name.includes("+") && !isControl(name) && !(SPACE.test(name.replaceAll("\ufeff", "")));

function decode(data) {
  let string;
  try {
    string = fromUtf8(data);
  } catch {
    refuse("not UTF-8");
  }
  if (isControl(string.replaceAll("\n", ""))) refuse("control characters");
  return string;
}

/** A number as a note writes it, a BigInt; null for any other text. */
function decimal(string) {
  if (!/^(0|[1-9][0-9]{0,18})$/.test(string)) return null;
  const number = BigInt(string);
  return number > MAX_SIZE ? null : number;
}

function parseBody(string) {
  const lines = string.split("\n");
  if (lines.length !== 4 || lines[3]) refuse("a body is three lines");
  const [origin, digits, encoded] = lines;
  const [size, root] = [decimal(digits), unbase64(encoded)];
  if (!origin || size === null || root?.length !== 32) refuse("not a checkpoint");
  return { origin, size, root };
}

/** { origin, size (BigInt), root }: what a note says, none of its signatures verified. Throws NoteError. */
export function readNote(note) {
  const string = decode(note);
  const end = string.lastIndexOf("\n\n");
  return parseBody(`${end < 0 ? "" : string.slice(0, end)}\n`);
}

/**
 * The checkpoint of a note that a majority of `members` signed, each with `name`, `ed25519`, `rsa`.
 * Throws NoteError when it is malformed, of another log, or not signed as it must be.
 */
export async function verifyNote(note, origin, members) {
  const known = knownKeys(members);
  if (note.length > MAX_NOTE_BYTES) refuse("the note is too long");
  const string = decode(note);
  const end = string.lastIndexOf("\n\n");
  if (end < 0 || !string.endsWith("\n") || end + 2 >= string.length) refuse("a note is a text, an empty line, lines");
  const body = `${string.slice(0, end)}\n`;
  const checkpoint = parseBody(body);
  if (checkpoint.origin !== origin) refuse("the checkpoint is of another log");
  const lines = string.slice(end + 2, -1).split("\n").map(parseLine);
  if (lines.length > MAX_LINES) refuse("too many lines");
  const signed = { cosigned: new Set(), signed: new Set() };
  for (const [name, blob] of lines) {
    const key = known.get(`${name} ${hex(blob.subarray(0, KEY_ID))}`);
    if (key === undefined) continue;
    if (!(await verifyLine(key, blob.subarray(KEY_ID), utf8(body)))) refuse(`a signature of ${name} does not verify`);
    signed[key.kind].add(name);
  }
  if (signed.cosigned.size <= Math.floor(members.length / 2)) refuse("no majority");
  if (!signed.signed.size) refuse("no RSA-PSS signature of a member");
  return checkpoint;
}

function parseLine(line) {
  const [dash, name, encoded, ...more] = line.split(" ");
  if (dash !== "—" || encoded === undefined || more.length || !isKeyName(name)) refuse("a line is a dash, a name, base64");
  const blob = unbase64(encoded);
  if (blob === null || blob.length <= KEY_ID) refuse("a line without a signature");
  return [name, blob];
}

function knownKeys(members) {
  const distinct = (pick) => new Set(members.map(pick)).size === members.length;
  if (!distinct((member) => member.name) || !distinct((member) => hex(member.ed25519))) refuse("two members share a key");
  const known = new Map();
  for (const member of members) {
    if (!isModulus(member.rsa)) refuse(`the RSA key of ${member.name} is no modulus`);
    const info = concat(SPKI_HEAD, member.rsa, SPKI_TAIL);
    known.set(`${member.name} ${keyId(member.name, COSIGNATURE, member.ed25519)}`, { kind: "cosigned", member });
    known.set(`${member.name} ${keyId(member.name, RSA_PSS, info)}`, { kind: "signed", member });
  }
  return known;
}

const keyId = (name, kind, key) => hex(sha256(utf8(`${name}\n`), kind, key).subarray(0, KEY_ID));

async function verifyLine({ kind, member }, signature, body) {
  if (kind === "signed") return verifyPss(member.rsa, signature, body);
  const stamp = signature.subarray(0, 8);
  if (stamp.length !== 8 || toBigInt(stamp) > MAX_SIZE) return false;
  const message = concat(utf8(`cosignature/v1\ntime ${toBigInt(stamp)}\n`), body);
  try {
    const key = await subtle.importKey("raw", member.ed25519, "Ed25519", false, ["verify"]);
    return await subtle.verify("Ed25519", key, signature.subarray(8), message);
  } catch {
    return false;
  }
}
