// Who signs for the log at which size, and how one list of members follows another (section 5).

import { equal, hex } from "./bytes.mjs";
import { isKeyName, NoteError, readNote, verifyNote } from "./note.mjs";

export const CONF_KINDS = new Set(["Genesis", "NodeAdded", "NodeRemoved", "NodeKeyRotated", "ClusterRecovered"]);
export const ANNOUNCED = "MembersAnnounced";
export const RECOVERED = "ClusterRecovered";

export class MembersError extends Error {}

const refuse = (reason) => {
  throw new MembersError(reason);
};

const isInt = (value) => typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
const TYPES = {
  int: isInt,
  text: (value) => typeof value === "string",
  bytes: (value) => value instanceof Uint8Array,
  truth: (value) => typeof value === "boolean",
  list: Array.isArray,
};

export function typed(fields, name, type, otherwise) {
  const value = fields.has(name) ? fields.get(name) : otherwise;
  if (!TYPES[type](value)) refuse(`the field ${name} is missing or of another type`);
  return value;
}

/** { origin, nodes, lastId } out of a membership entry's fields. Throws MembersError. */
export function readMembers(fields) {
  const origin = typed(fields, "origin", "text");
  const nodes = typed(fields, "nodes", "list").map(readNode);
  const lastId = typed(fields, "last_id", "int", 0);
  for (const pick of [(node) => node.id, (node) => node.name, (node) => hex(node.ed25519)]) {
    if (new Set(nodes.map(pick)).size !== nodes.length) refuse("a node or a key is named twice");
  }
  if (!nodes.some((node) => node.voter)) refuse("no voter is named");
  if (nodes.some((node) => node.id < 1)) refuse("an id is below 1");
  if (lastId && nodes.some((node) => node.id > lastId)) refuse("an id is above the last one given");
  return { origin, nodes, lastId };
}

function readNode(fields) {
  if (!(fields instanceof Map)) refuse("a node is no map");
  const node = {
    id: typed(fields, "id", "int"),
    name: typed(fields, "name", "text"),
    ed25519: typed(fields, "ed25519", "bytes"),
    rsa: typed(fields, "rsa", "bytes"),
    voter: typed(fields, "voter", "truth"),
    address: typed(fields, "address", "text", ""),
  };
  if (!isKeyName(node.name)) refuse("a key name has spaces, control characters or a plus");
  if (node.ed25519.length !== 32 || node.rsa.length !== 384) refuse("a key has the wrong length");
  return node;
}

export const voters = (members) => members.nodes.filter((node) => node.voter);

const highestId = (members) => [members.lastId, ...members.nodes.map((node) => node.id)].reduce((a, b) => (a > b ? a : b));

const sameNode = (one, other) =>
  ["id", "name", "voter", "address"].every((name) => one[name] === other[name]) &&
  equal(one.ed25519, other.ed25519) &&
  equal(one.rsa, other.rsa);

const sameNodes = (one, other) => one.length === other.length && one.every((node, at) => sameNode(node, other[at]));

const sameMembers = (one, other) =>
  one.origin === other.origin && one.lastId === other.lastId && sameNodes(one.nodes, other.nodes);

/** The lists believed so far. `tree` is the log's; `entry` is fed every entry once it is in the tree. */
export class Succession {
  constructor(founders, tree) {
    this.lists = [[1n, founders]];
    this.tree = tree;
    this.announced = new Map();
  }

  get members() {
    return this.lists.at(-1)[1];
  }

  at(size) {
    return (this.lists.findLast(([index]) => index <= size) ?? this.lists[0])[1];
  }

  /** Throws MembersError when a list was not put in force by those before it. It is followed all the same. */
  async entry(entry) {
    if (entry.kind === ANNOUNCED) this.announced.set(entry.index, entry);
    if (entry.kind === "Genesis" || !CONF_KINDS.has(entry.kind)) return;
    const announced = this.announced;
    this.announced = new Map();
    const [newest, before] = this.lists.at(-1);
    if (entry.index <= newest) refuse("the entry does not change the members");
    const after = readMembers(entry.fields);
    if (after.origin !== before.origin) refuse("the name of the log is changed");
    const signers = (size) => voters(this.at(size));
    const handover = entry.kind !== RECOVERED && (await readHandover(entry, newest, before.origin, signers).catch(asMembersError));
    this.lists.push([entry.index, after]);
    if (entry.kind === RECOVERED) return;
    if (handover instanceof MembersError) throw handover;
    this.check(entry, after, handover, announced.get(handover.announced));
  }

  check(entry, after, handover, announcement) {
    if (announcement === undefined) refuse(`entry ${handover.announced} announces no members`);
    const told = readMembers(announcement.fields);
    const before = typed(announcement.fields, "before", "int");
    if (!sameMembers(told, after) || BigInt(before) !== handover.before) refuse("other members were announced");
    const root = this.tree.root(Number(handover.checkpoint.size));
    if (root === null || !equal(root, handover.checkpoint.root)) refuse("the members before signed another log");
  }
}

function asMembersError(error) {
  if (error instanceof NoteError) return new MembersError(error.message);
  if (error instanceof MembersError) return error;
  throw error;
}

async function readHandover(entry, newest, origin, signers) {
  const before = BigInt(typed(entry.fields, "before", "int"));
  const announced = BigInt(typed(entry.fields, "announced", "int"));
  if (before !== newest) refuse("another list is replaced than the newest");
  const note = typed(entry.fields, "note", "bytes");
  const checkpoint = await verifyNote(note, origin, signers(readNote(note).size));
  if (!(before < announced && announced <= checkpoint.size && checkpoint.size < entry.index)) {
    refuse("the signatures do not cover the announcement");
  }
  return { before, announced, checkpoint };
}

/** What a ClusterRecovered says of itself. Throws MembersError. */
export function readRecovery(fields) {
  const lost = typed(fields, "lost", "list");
  if (!lost.every(isInt)) refuse("a lost node is no number");
  const number = (name) => typed(fields, name, "int");
  return {
    members: readMembers(fields),
    survivor: number("survivor"),
    lost,
    last: number("last"),
    committed: number("committed"),
    checkpoint: number("checkpoint"),
    missing: number("missing"),
    evidence: typed(fields, "evidence", "bytes"),
  };
}

/** What a recovery at entry `index` says that cannot be, given the members before it. */
export function contradictions(recovery, before, index) {
  const { survivor, lost, last, committed, checkpoint } = recovery;
  const unchanged = before.nodes.filter((node) => node.id === survivor);
  const others = before.nodes.map((node) => node.id).filter((id) => id !== survivor);
  others.sort((a, b) => (a < b ? -1 : 1));
  const checks = [
    [voters(before).some((node) => node.id === survivor), "the survivor was not a voter"],
    [voters(before).length > 1, "a cluster of one voter has nothing to be recovered from"],
    [sameNodes(recovery.members.nodes, unchanged), "the only member is not the survivor as it was"],
    [lost.length === others.length && lost.every((id, at) => id === others[at]), "the lost are not the other members"],
    [highestId(recovery.members) >= highestId(before), "the numbers of lost nodes could come back"],
    [BigInt(last) === BigInt(index) - 1n, "the log ended elsewhere"],
    [0 <= checkpoint && checkpoint <= committed && committed <= last, "the places are out of order"],
    [evidenceAgrees(recovery), "what is known to be missing is not what the evidence says"],
  ];
  return checks.filter(([holds]) => !holds).map(([, problem]) => problem);
}

function evidenceAgrees({ evidence, missing, checkpoint }) {
  if (!evidence.length) return Number(missing) === 0;
  try {
    return readNote(evidence).size === BigInt(missing) && missing > checkpoint;
  } catch (error) {
    if (error instanceof NoteError) return false;
    throw error;
  }
}
