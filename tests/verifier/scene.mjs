// What the checks of an audit share: the log so far, the elections in it, and what was found.

import { equal, hex } from "./bytes.mjs";
import { keyHash } from "./frame.mjs";
import { Tree } from "./tree.mjs";

export const LEVELS = ["structure", "chain", "signatures", "ballots", "count"];
const KEPT_OF_A_NAME = 20;

/** Findings, a bounded number of each name. */
class Findings {
  constructor() {
    this.kept = [];
    this.seen = new Map();
  }

  add(level, name, index, detail) {
    const seen = (this.seen.get(`${level}.${name}`) ?? 0) + 1;
    this.seen.set(`${level}.${name}`, seen);
    if (seen <= KEPT_OF_A_NAME) this.kept.push({ level, name, index: Number(index), detail });
  }

  /** Entries are missing or altered: what is left must not be used against anybody. */
  get damaged() {
    return [...this.seen.keys()].some((name) => name.startsWith("structure.") || name.startsWith("chain."));
  }

  /** By index, then level. */
  sorted() {
    const rank = (finding) => LEVELS.indexOf(finding.level);
    return [...this.kept].sort((a, b) => a.index - b.index || rank(a) - rank(b));
  }
}

export class Election {
  constructor(election, draft) {
    this.election = election;
    this.draft = draft;
    this.status = "draft";
    this.eid = new Uint8Array();
    this.definition = null;
    this.added = new Map();
    this.roll = new Map();
    this.rollRoot = new Uint8Array();
    this.invited = new Map();
    this.enrolments = 0;
    this.trustees = new Map();
    this.issued = new Set();
    this.casts = 0;
    this.chunks = 0;
    this.lastName = new Uint8Array();
    this.spent = new Set();
    this.board = [];
    this.publishedAt = 0n;
    this.epoch = 0;
    this.epochAt = 0n;
    this.epochCasts = 0;
    this.epochBegun = false;
    this.epochSinceUs = 0n;
    this.claimed = new Map();
    this.claimsUntilUs = 0n;
    this.unspent = 0;
    this.claimedFor = new Map();
    this.minted = false;
    this.released = new Map();
    this.seedChunks = 0;
    this.seeds = [];
    this.seedPlaces = [];
    this.seedsEnded = false;
    this.tally = new Uint8Array();
    this.tallyAt = 0n;
    this.attested = new Map();
    this.attestedAt = new Map();
  }

  get closed() {
    return ["closed", "published", "tallied"].includes(this.status);
  }
}

export class Scene {
  constructor() {
    this.findings = new Findings();
    this.tree = new Tree();
    this.members = null;
    this.genesis = new Uint8Array();
    this.timeUs = 0n;
    this.elections = new Map();
    this.recoveries = [];
    this.owners = new Map();
    this.identities = new Map();
    this.waiting = [];
  }

  find(level, name, index, detail) {
    this.findings.add(level, name, index, detail);
  }

  /** Has a check made at the end; `check` gives what is wrong as [level, name, detail], or nothing. */
  later(index, check) {
    this.waiting.push([index, check]);
  }

  /** A later check of one answer: yes or no. */
  expect(index, level, name, question) {
    this.later(index, async () => ((await question()) ? [] : [[level, name, "it does not verify"]]));
  }

  async settle() {
    for (const [index, check] of this.waiting.splice(0)) {
      for (const flaw of await check()) this.find(flaw[0], flaw[1], index, flaw[2]);
    }
  }

  /** The election an event names; null, with a finding, when there is none or its eid is another. */
  election(index, { election, eid }) {
    const found = this.elections.get(hex(election));
    if (found === undefined) {
      this.find("ballots", "UnknownElection", index, "it was never drafted");
      return null;
    }
    if (eid !== undefined && (!eid.length || !equal(eid, found.eid))) {
      this.find("ballots", "WrongElection", index, "eid is not that of the election");
      return null;
    }
    return found;
  }

  /** From here on this is the user's identity key. A finding when it was replaced before, or is the cluster's. */
  enrol(index, user, modulus) {
    const enrolled = this.identities.get(hex(user)) ?? [];
    const name = hex(keyHash(modulus));
    if (enrolled.slice(0, -1).some((earlier) => earlier.name === name)) {
      this.find("signatures", "KeySuperseded", index, "the user had replaced this identity key");
    }
    if (this.owners.has(name)) this.find("signatures", "KeyReused", index, `it is the key of ${this.owners.get(name)}`);
    this.identities.set(hex(user), [...enrolled, { name, modulus }]);
  }

  /** The modulus of the identity key in force, undefined when there is none. */
  identity(user) {
    return this.identities.get(hex(user))?.at(-1).modulus;
  }

  /** Notes whose key this is: a node's, a trustee's, a registrar's. A finding when it is somebody else's already. */
  own(index, modulus, owner) {
    const name = hex(keyHash(modulus));
    const holder = [...this.identities].find(([, keys]) => keys.some((key) => key.name === name));
    const known = this.owners.get(name) ?? (holder ? `user ${holder[0]}` : owner);
    this.owners.set(name, known);
    if (known !== owner) this.find("signatures", "KeyReused", index, `the key of ${owner} is that of ${known}`);
  }
}
