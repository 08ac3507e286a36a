// Holds this verifier against the test vectors: node vectors.mjs FOLDER
//
// Prints one line a file: its name, how many cases agree, and those that do not.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { audit } from "./audit.mjs";
import { ballotFlaws, parseBallot } from "./ballot.mjs";
import { equal, hex, unhex, utf8 } from "./bytes.mjs";
import { countQuestion, drawLot } from "./counting/index.mjs";
import { decode, encode } from "./document.mjs";
import { readChoice, readDefinition, readQuestion } from "./definition.mjs";
import { readEntry } from "./entry.mjs";
import { Context, openWithKeys, openWithSeed } from "./envelope.mjs";
import { readExport } from "./export.mjs";
import { frame, frameHash, parseFrame } from "./frame.mjs";
import { longLivedFlaw, oneUseFlaw } from "./keycheck.mjs";
import { Foreign, unpack } from "./msgpack.mjs";
import { normalForm } from "./names.mjs";
import { verifyNote } from "./note.mjs";
import { checkReceipt, foundersOf } from "./receipt.mjs";
import { isBlindSignature, privateKey, verifyPss } from "./rsa.mjs";
import { sha256 } from "./sha256.mjs";
import { isConsistent, isIncluded, leafHash, Tree } from "./tree.mjs";

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const sameDocument = (one, other) => equal(encode(one), encode(other));
const bytesOf = (object, ...names) => names.map((name) => unhex(object[name]));

/** Each gives whether a case holds, or throws where it is to be refused. `file` is the whole file of vectors. */
const CHECKS = {
  frames({ kind, fields, encoded, hash }) {
    const parsed = parseFrame(kind, unhex(encoded), fields.length);
    return same(parsed.map(hex), fields) && hex(frame(kind, ...parsed)) === encoded && hex(frameHash(kind, ...parsed)) === hash;
  },
  documents: ({ value, encoded }) => sameDocument(decode(unhex(encoded)), value) && hex(encode(value)) === encoded,
  msgpack: ({ value, encoded }) => same(shown(unpack(unhex(encoded), { textKeys: true })), value),
  entries(one) {
    const { entry, problem } = readEntry(...bytesOf(one, "header", "public"));
    if (problem || entry === null) return false;
    const numbers = [entry.index, entry.term, entry.timeUs].map(Number);
    const hashes = [entry.prevHash, entry.digest, entry.hash, leafHash(unhex(one.header))].map(hex);
    const digest = one.private === undefined ? "" : hex(frameHash("private", ...bytesOf(one, "salt", "private")));
    return (
      same(numbers, [one.index, one.term, one.time_us]) &&
      same(hashes, [one.prev_hash, one.private_digest, one.hash, one.leaf]) &&
      digest === one.private_digest
    );
  },
  tree(one) {
    if (one.name === "root") return hex(grown.root(one.size)) === one.root;
    const proof = one.proof.map(unhex);
    if (one.name === "inclusion") return isIncluded(leafHash(unhex(one.leaf)), one.index, one.size, proof, unhex(one.root));
    return isConsistent(one.old, one.size, ...bytesOf(one, "old_root", "root"), proof);
  },
  async checkpoints({ note }, { origin, members }) {
    const known = members.map(({ name, ...keys }) => ({ name, ed25519: unhex(keys.ed25519), rsa: unhex(keys.rsa) }));
    await verifyNote(new Uint8Array(Buffer.from(note, "latin1")), origin, known);
    return true;
  },
  keys: ({ bits, long_lived: longLived, modulus }) => !(longLived ? longLivedFlaw : oneUseFlaw)(unhex(modulus), bits),
  signatures: (one) => verifyPss(...bytesOf(one, "modulus", "signature", "message")),
  definitions({ definition, eid }) {
    readDefinition(utf8(definition));
    return hex(frameHash("election", utf8(definition))) === eid;
  },
  choices: ({ method, choice }, { questions }) => readChoice([readQuestion(questions[method])], unhex(choice)) !== null,
  names: ({ name, normal_form: form }) => normalForm(name) === form,
  credentials: async (one) =>
    isBlindSignature(...bytesOf(one, "n", "blinded", "blind_sig")) &&
    (await verifyPss(...bytesOf(one, "n", "signature", "message"))),
  async envelopes({ eid, bid, k, n, pad_len: padLen, ...one }, { trustees }) {
    const pairs = trustees.slice(0, n).map(({ p, q }) => [BigInt(`0x${p}`), BigInt(`0x${q}`)]);
    const moduli = pairs.map(([p, q]) => unhex((p * q).toString(16)));
    const ctx = new Context(unhex(eid), unhex(bid), k, moduli, padLen);
    const found = [];
    for (const chosen of subsets(pairs.map((pair, at) => [at + 1, pair]), k)) {
      const keys = new Map(chosen.map(([number, pair]) => [number, privateKey(...pair)]));
      const opened = await openWithKeys(ctx, unhex(one.envelope), keys);
      found.push(opened && `${hex(opened.seed)} ${hex(opened.choice)}`);
    }
    if (new Set(found).size !== 1) throw new Error("it depends on the trustees");
    const bySeed = one.seed && (await openWithSeed(ctx, unhex(one.envelope), unhex(one.seed)));
    return found[0] === `${one.seed} ${one.choice}` && hex(bySeed) === one.choice;
  },
  async ballots({ name, body, flaws }, { definition, names }) {
    const ballot = parseBallot(unhex(body));
    const eid = frameHash("election", utf8(definition));
    const found = ballot === null ? [["ballots", "MalformedBallot"]] : await ballotFlaws(readDefinition(utf8(definition)), eid, ballot);
    const agrees = same(found.map((flaw) => flaw[1]), flaws) && hex(sha256(unhex(body))) === names[name];
    if (!agrees) throw new Error(`${name}: ${found}`);
    return found.length === 0;
  },
  async receipts({ receipt, body }, { genesis }) {
    await checkReceipt(utf8(receipt), foundersOf(unhex(genesis)), unhex(body));
    return true;
  },
  lots: ({ seed, question, candidates, lot }) => same(drawLot(unhex(seed), question, candidates), lot),
  counts({ question, ballots, seed, result }) {
    const asked = readQuestion(question);
    return sameDocument(countQuestion(asked, ballots, drawLot(unhex(seed), 0, asked.candidates.length)), result);
  },
  async exports({ file, elections, recoveries, valid, ...said }) {
    const report = await audit(readExport(new Uint8Array(readFileSync(join(folder, file)))));
    const numbers = report.elections.map(({ eid, accounting }) => ({ eid, accounting }));
    const expected = elections.map(({ eid, accounting: { silent_votes: _, ...rest } }) => ({ eid, accounting: rest }));
    const happened = report.recoveries.map(({ index, hash }) => ({ index, hash }));
    const agrees = same(numbers, expected) && same(happened, recoveries) && Object.entries(said).every(([name, value]) => report[name] === value);
    return agrees && report.passed;
  },
};

const grown = new Tree();
for (let number = 0; number < 300; number++) grown.append(utf8(`leaf ${number}`));

function shown(value) {
  if (value instanceof Uint8Array) return { hex: hex(value) };
  if (value instanceof Map) return { map: [...value].map(([key, item]) => [shown(key), shown(item)]) };
  if (value instanceof Foreign) throw new TypeError("a value of no field");
  if (Array.isArray(value)) return value.map(shown);
  return typeof value === "number" || typeof value === "bigint" ? { number: String(value) } : value;
}

function* subsets(items, size) {
  if (size === 0) yield [];
  else for (const [at, item] of items.entries()) for (const rest of subsets(items.slice(at + 1), size - 1)) yield [item, ...rest];
}

async function holds(name, one, file) {
  try {
    return (await CHECKS[name](one, file)) === one.valid;
  } catch (error) {
    // What is refused is thrown as an error of the verifier's own; any other is a fault of it.
    if (one.valid || error.constructor === Error || error instanceof TypeError) return `${error.stack}`;
    return true;
  }
}

const [folder] = process.argv.slice(2);
for (const file of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
  const name = file.slice(0, -5);
  const vectors = JSON.parse(readFileSync(join(folder, file)));
  let agreed = 0;
  const wrong = [];
  for (const [at, one] of vectors.cases.entries()) {
    const answer = Object.hasOwn(CHECKS, name) ? await holds(name, one, vectors) : "no check";
    if (answer === true) agreed += 1;
    else wrong.push(`${at} ${one.name ?? ""} ${answer}`);
  }
  console.log(JSON.stringify({ name, agreed, wrong }));
  if (wrong.length) process.exitCode = 1;
}
