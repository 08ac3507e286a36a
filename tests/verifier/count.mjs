// After the board: released keys, seeds, the count made again, and what the nodes attest.

import { Opener } from "./ballot.mjs";
import { findMinted } from "./ballots.mjs";
import { equal, hex, toBigInt, u32, u64, unhex } from "./bytes.mjs";
import { countQuestions, lotSeed } from "./counting/index.mjs";
import { encode } from "./document.mjs";
import { frame } from "./frame.mjs";
import { isPrime } from "./numbers.mjs";
import { primesFlaw, verifyPss } from "./rsa.mjs";
import { sha256 } from "./sha256.mjs";

const flawOfPrimes = new Map();

/** A key that fails any check of its numbers counts as withheld. */
function released(scene, index, event) {
  const election = scene.election(index, event);
  if (election === null || election.definition === null) return;
  const { trustees } = election.definition;
  if (!(1 <= event.number && event.number <= trustees.length)) {
    scene.find("count", "UnknownTrustee", index, `there is no trustee ${event.number}`);
    return;
  }
  const modulus = unhex(trustees[event.number - 1].n);
  const message = frame("release", event.eid, u64(event.size), event.root);
  scene.expect(index, "signatures", "ReleaseSignature", () => verifyPss(modulus, event.signature, message));
  if (!election.publishedAt || event.size < election.publishedAt) {
    scene.find("count", "ReleasedTooEarly", index, "the checkpoint does not cover the whole board");
  }
  const root = scene.tree.root(event.size);
  if (root === null || !equal(root, event.root)) scene.find("count", "ReleaseRootDiffers", index, "of another log");
  const [p, q] = [toBigInt(event.p), toBigInt(event.q)];
  const name = [hex(modulus), p, q].join();
  if (!flawOfPrimes.has(name)) flawOfPrimes.set(name, primesFlaw(modulus, p, q, isPrime));
  const flaw = flawOfPrimes.get(name);
  if (flaw) scene.find("count", "BadTrusteeKey", index, flaw);
  else election.released.set(event.number, [p, q]);
}

function seedsPublished(scene, index, event) {
  const election = scene.election(index, event);
  if (election === null) return;
  if (!election.publishedAt || election.tallyAt) scene.find("count", "SeedsOutOfOrder", index, "between board and count");
  if (event.chunk !== election.seedChunks) scene.find("count", "SeedsOutOfOrder", index, `${election.seedChunks} is next`);
  election.seedChunks = Number(event.chunk) + 1;
  election.seedPlaces.push([election.seeds.length, index]);
  election.seedsEnded = event.last;
  election.seeds.push(...event.seeds);
  const { seeds, board } = election;
  if (seeds.length > board.length || (event.last && seeds.length < board.length)) {
    scene.find("count", "SeedCountDiffers", index, `${seeds.length} seeds for ${board.length} ballots`);
  }
}

function tallied(scene, index, event) {
  const election = scene.election(index, event);
  if (election === null) return;
  if (!election.publishedAt) scene.find("count", "TalliedTooEarly", index, "the count comes before the board");
  if (election.tallyAt) {
    scene.find("count", "TalliedTwice", index, "there is a count already");
    return;
  }
  const { seeds, board, seedChunks, seedsEnded } = election;
  if (seeds.length < board.length && seedChunks && !seedsEnded) {
    scene.find("count", "SeedsOutOfOrder", index, "the count comes before the last seeds");
  }
  Object.assign(election, { status: "tallied", tally: event.document, tallyAt: index });
}

function attested(scene, index, event) {
  const election = scene.election(index, event);
  if (election === null) return;
  if (!election.tallyAt) scene.find("count", "AttestedTooEarly", index, "there is no count to attest");
  if (election.attested.has(event.node)) scene.find("count", "AttestedTwice", index, `node ${event.node}`);
  election.attested.set(event.node, event.digest);
  election.attestedAt.set(event.node, index);
  if (event.agrees !== equal(event.digest, sha256(election.tally))) {
    scene.find("count", "AttestationMisstated", index, "digest and verdict disagree");
  }
  const node = scene.members?.nodes.find((one) => one.id === event.node);
  if (node === undefined) {
    scene.find("count", "UnknownNode", index, `node ${event.node} is not a member`);
    return;
  }
  const message = frame("attest", event.eid, u32(event.node), event.digest);
  scene.expect(index, "signatures", "AttestationSignature", () => verifyPss(node.rsa, event.signature, message));
}

/** Makes the count of one election again: { recounted, valid, invalid }. */
export async function recount(scene, election) {
  const { definition, eid, board, seeds, released: keys, publishedAt, tallyAt } = election;
  const nothing = { recounted: false, valid: 0, invalid: 0 };
  if (definition === null || !publishedAt) return nothing;
  if (keys.size < definition.k && seeds.length !== board.length) {
    if (tallyAt) scene.find("count", "CannotRecount", tallyAt, `${keys.size} keys, ${seeds.length} seeds`);
    return nothing;
  }
  const opener = new Opener(definition, eid, keys);
  const votes = [];
  for (const [at, body] of board.entries()) {
    const [vote, flaws] = await opener.open(body, seeds[at]);
    const counted = tallyAt || publishedAt;
    const seeded = election.seedPlaces.findLast(([first]) => first <= at)?.[1] ?? counted;
    for (const [level, name, detail] of flaws) scene.find(level, name, name === "KeysMissing" ? counted : seeded, detail);
    if (vote !== null) votes.push(vote);
  }
  const value = countDocument(definition, eid, votes, board.length);
  checkWeights(scene, election, value.weights);
  if (tallyAt && !equal(encode(value), election.tally)) scene.find("count", "TallyDiffers", tallyAt, "another count");
  return { recounted: true, valid: votes.length, invalid: board.length - votes.length };
}

export function countDocument(definition, eid, votes, published) {
  const lot = lotSeed(votes);
  const weights = Object.fromEntries(definition.registrars.map(({ weight }) => [String(weight), 0]));
  for (const { weight } of votes) weights[weight] += 1;
  return {
    version: 1,
    election: hex(eid),
    ballots: { published, valid: votes.length, invalid: published - votes.length },
    weights,
    lot: hex(lot),
    questions: countQuestions(definition.questions, votes, lot),
  };
}

/** Of no weight more ballots may count than credentials were issued for it. */
function checkWeights(scene, election, weights) {
  const { issued, roll, publishedAt, claimedFor } = election;
  const counted = Object.entries(weights);
  for (const [weight, ballots] of counted) {
    const credentials = [...issued].filter((voter) => (roll.get(voter) ?? 0) === Number(weight)).length;
    const used = ballots + (claimedFor.get(Number(weight)) ?? 0);
    if (used > credentials && counted.length > 1) {
      findMinted(scene, publishedAt, election, `${used} of weight ${weight}, ${credentials} issued`);
    }
  }
}

/** Each node that attests another count than the published one. */
export function checkAttestations(scene, { attested, attestedAt, tally }) {
  for (const [node, digest] of [...attested].sort(([a], [b]) => a - b)) {
    const agrees = equal(digest, sha256(tally));
    if (!agrees) scene.find("count", "TallyDisputed", attestedAt.get(node), `node ${node} attests another count`);
  }
}

export const HANDLERS = {
  TrusteeKeyReleased: released,
  TallySeeds: seedsPublished,
  TallyPublished: tallied,
  TallyAttested: attested,
};
