// Ballots: what a voter signs, the ledger records and the board publishes (section 8).

import { concat, equal, unhex } from "./bytes.mjs";
import { readChoice } from "./definition.mjs";
import { Context, openWithKeys, openWithSeed, parseEnvelope } from "./envelope.mjs";
import { frame, FrameError, keyHash, parseFrame } from "./frame.mjs";
import { flawAtAGlance } from "./keycheck.mjs";
import { privateKey, verifyPss } from "./rsa.mjs";

/** A ballot's parts, null when it is malformed. */
export function parseBallot(body) {
  try {
    const [cast, signature] = parseFrame("ballot", body, 2);
    const [eid, bpk, prefix, credential, envelope] = parseFrame("cast", cast, 5);
    const sizes = [eid, bpk, prefix, credential, signature].map((field) => field.length);
    if (sizes.join() !== "32,256,32,384,256") return null;
    return { cast, signature, eid, bpk, prefix, credential, envelope, bid: keyHash(bpk) };
  } catch (error) {
    if (error instanceof FrameError) return null;
    throw error;
  }
}

/** The weight of the registrar key that signed a credential; null when none did. */
export async function credentialWeight(definition, eid, { bpk, prefix, credential }) {
  const message = concat(prefix, frame("credential", eid, bpk));
  for (const { weight, n } of definition.registrars) {
    if (await verifyPss(unhex(n), credential, message)) return weight;
  }
  return null;
}

/** The weight of a credential; with a single registrar its signature is not looked at. */
export function weightOf(definition, eid, credential) {
  const [first, ...others] = definition.registrars;
  return others.length ? credentialWeight(definition, eid, credential) : first.weight;
}

export function contextOf(definition, eid, bid) {
  return new Context(eid, bid, definition.k, definition.trustees.map((trustee) => unhex(trustee.n)), definition.padLen);
}

/** What is wrong with a ballot of the board, as it was checked when it was cast. */
export async function ballotFlaws(definition, eid, ballot) {
  const weakness = flawAtAGlance(ballot.bpk, 2048);
  const flaws = weakness ? [["signatures", "WeakKey", `a ballot key: ${weakness}`]] : [];
  if ((await credentialWeight(definition, eid, ballot)) === null) flaws.push(badCredential());
  if (!(await verifyPss(ballot.bpk, ballot.signature, ballot.cast))) {
    flaws.push(["signatures", "BallotSignature", "the ballot key did not sign this cast"]);
  }
  if (parseEnvelope(contextOf(definition, eid, ballot.bid), ballot.envelope) === null) {
    flaws.push(["ballots", "BadEnvelope", "the envelope has another shape"]);
  }
  return flaws;
}

export const badCredential = () => ["signatures", "BadCredential", "no registrar key signed this ballot key"];

/** Opens the ballots of one election; `primes` is a Map from trustees' numbers to [p, q]. */
export class Opener {
  constructor(definition, eid, primes) {
    this.definition = definition;
    this.eid = eid;
    const rising = [...primes].sort(([a], [b]) => a - b);
    this.keys = new Map(rising.map(([number, [p, q]]) => [number, privateKey(p, q)]));
  }

  /**
   * [vote or null, flaws]: by the seed where it proves the ballot valid, otherwise with the keys. `seed` is undefined
   * where none was published, empty where the ballot is called invalid.
   */
  async open(body, seed) {
    const ballot = parseBallot(body);
    const isOurs = ballot !== null && equal(ballot.eid, this.eid);
    const bySeed = isOurs && seed?.length ? await this.bySeed(ballot, seed) : null;
    if (bySeed !== null) return [bySeed, []];
    if (isOurs && this.keys.size < this.definition.k) {
      const bad = seed?.length ? [["count", "BadSeed", "the seed does not open the ballot"]] : [];
      return [null, [...bad, ["count", "KeysMissing", "fewer keys than needed"]]];
    }
    const vote = isOurs ? await this.byKeys(ballot) : null;
    if (seed === undefined || equal(seed, vote?.seed ?? new Uint8Array())) return [vote, []];
    return [vote, [["count", seed.length ? "BadSeed" : "SeedKeptBack", "another seed than the one published"]]];
  }

  async bySeed(ballot, seed) {
    const choice = await openWithSeed(contextOf(this.definition, this.eid, ballot.bid), ballot.envelope, seed);
    return choice && this.vote(ballot, { seed, choice });
  }

  async byKeys(ballot) {
    const opened = await openWithKeys(contextOf(this.definition, this.eid, ballot.bid), ballot.envelope, this.keys);
    return opened && this.vote(ballot, opened);
  }

  async vote(ballot, { seed, choice }) {
    const answers = readChoice(this.definition.questions, choice);
    if (answers === null) return null;
    const weight = await weightOf(this.definition, this.eid, ballot);
    return weight === null ? null : { seed, answers, weight };
  }
}
