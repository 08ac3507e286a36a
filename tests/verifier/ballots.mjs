// Who voted how often, and whether the board holds exactly what was cast.

import { badCredential, ballotFlaws, credentialWeight, parseBallot, weightOf } from "./ballot.mjs";
import { compare, equal, hex, unhex } from "./bytes.mjs";
import { frame, keyHash } from "./frame.mjs";
import { isBlindSignature, verifyPss } from "./rsa.mjs";
import { sha256 } from "./sha256.mjs";

function issued(scene, index, event) {
  const election = scene.election(index, event);
  if (election === null) return;
  const voter = hex(event.voter);
  if (election.status !== "open") scene.find("ballots", "IssuedOutsideElection", index, `it is ${election.status}`);
  if (election.issued.has(voter)) scene.find("ballots", "IssuedTwice", index, `voter ${voter}`);
  election.issued.add(voter);
  checkRequest(scene, index, event);
  checkIssue(scene, index, election, event);
}

function checkRequest(scene, index, { eid, voter, identity, blinded, identity_sig: signature }) {
  const n = scene.identity(voter);
  if (n === undefined || !equal(keyHash(n), identity)) {
    scene.find("ballots", "WrongIdentityKey", index, "it was not asked for with the voter's identity key");
    return;
  }
  const message = frame("issue", eid, voter, identity, blinded);
  scene.expect(index, "signatures", "IssueSignature", () => verifyPss(n, signature, message));
}

function checkIssue(scene, index, election, { voter, blinded, blind_sig: blindSig }) {
  const weight = election.roll.get(hex(voter));
  if (weight === undefined) {
    scene.find("ballots", "NotOnRoll", index, `voter ${hex(voter)}`);
    return;
  }
  const registrar = (election.definition?.registrars ?? []).find((one) => one.weight === weight);
  if (registrar === undefined) scene.find("ballots", "NoRegistrar", index, `no registrar key for weight ${weight}`);
  else scene.expect(index, "signatures", "BlindSignature", () => isBlindSignature(unhex(registrar.n), blinded, blindSig));
}

function cast(scene, index, event) {
  const election = scene.election(index, event);
  if (election === null) return;
  if (election.status === "open") {
    election.casts += 1;
    checkMinted(scene, index, election);
  } else scene.find("ballots", "CastOutsideElection", index, `the election is ${election.status}`);
}

function closed(scene, index, event) {
  const election = scene.election(index, event);
  if (election === null) return;
  const { definition, status, casts } = election;
  if (status !== "open") scene.find("ballots", "ClosedWrongly", index, `the election is ${status}`);
  const due = definition === null || (definition.closesUs > 0 && definition.closesUs <= scene.timeUs);
  if (!event.by.length && !due) scene.find("ballots", "ClosedTooEarly", index, "not yet time, and nobody closed it");
  if (event.casts !== casts) scene.find("ballots", "CloseCountDiffers", index, `${event.casts} stated, ${casts} in the log`);
  election.status = "closed";
  if (definition?.claimsS !== undefined) election.claimsUntilUs = scene.timeUs + BigInt(definition.claimsS) * 1_000_000n;
  if (BigInt(event.claims_until_us ?? 0) !== election.claimsUntilUs) {
    scene.find("ballots", "ClaimsEndDiffers", index, `by the definition it is ${election.claimsUntilUs}`);
  }
}

function epochEnded(scene, index, event) {
  const election = scene.election(index, event);
  if (election === null) return;
  const { definition, casts, epoch, epochAt, status } = election;
  const rules = definition?.epochs;
  if (status !== "open" || rules === undefined) scene.find("ballots", "EpochWrongly", index, `the election is ${status}`);
  else if (event.epoch !== epoch || epochAt) scene.find("ballots", "EpochOutOfOrder", index, `${epoch} is to be published`);
  if (event.casts !== casts) scene.find("ballots", "EpochCountDiffers", index, `${event.casts} stated, ${casts} cast`);
  if (rules !== undefined && scene.timeUs < election.epochSinceUs + BigInt(rules.interval_us)) {
    scene.find("ballots", "EpochTooEarly", index, "the one before, or the opening, is not long enough ago");
  }
  if (rules !== undefined && casts - election.board.length < rules.ballots) {
    scene.find("ballots", "EpochTooSmall", index, `${rules.ballots} ballots are needed`);
  }
  Object.assign(election, { epochAt: index, epochCasts: casts, epochSinceUs: scene.timeUs });
}

function published(scene, index, event) {
  const election = scene.election(index, event);
  if (election === null) return;
  const { status, chunks, epoch, epochAt, epochBegun, epochCasts } = election;
  // An epoch that was begun before the close is finished as it was; one that was held back comes with all the rest.
  const ofEpoch = epochAt > 0n && (status === "open" || epochBegun);
  if (status !== "closed" && !ofEpoch) scene.find("ballots", "PublishedWrongly", index, `the election is ${status}`);
  if (event.chunk !== chunks || (event.epoch ?? 0) !== epoch) {
    scene.find("ballots", "ChunkOutOfOrder", index, `chunk ${chunks} of epoch ${epoch} comes next`);
  }
  const needed = election.definition?.epochs?.ballots;
  if (ofEpoch && !epochBegun && election.casts - epochCasts < needed) {
    scene.find("ballots", "EpochNotHeldBack", index, `${needed} ballots must have come after it`);
  }
  election.chunks = Number(event.chunk) + 1;
  for (const body of event.ballots) putOnBoard(scene, index, election, body);
  election.epochBegun = true;
  if (event.end || event.last) endBatch(scene, index, election, ofEpoch ? epochCasts : election.casts);
  if (!event.last) return;
  if (ofEpoch) scene.find("ballots", "PublishedWrongly", index, "an epoch that ended before the close is not the last");
  election.status = "published";
  election.publishedAt = index;
  election.unspent = [...election.claimed.keys()].filter((bid) => !election.spent.has(bid)).length;
  checkMinted(scene, index, election);
}

function endBatch(scene, index, election, casts) {
  const { board, epoch } = election;
  if (board.length !== casts) scene.find("ballots", "BoardCountDiffers", index, `${board.length} of ${casts} on the board`);
  Object.assign(election, { epoch: epoch + 1, epochAt: 0n, epochBegun: false, lastName: new Uint8Array() });
}

function putOnBoard(scene, index, election, body) {
  const name = sha256(body);
  const order = compare(name, election.lastName);
  if (order === 0) scene.find("ballots", "BallotRepeated", index, hex(name));
  else if (order < 0) scene.find("ballots", "BoardUnsorted", index, hex(name));
  election.lastName = name;
  election.board.push(body);
  const ballot = parseBallot(body);
  if (ballot === null) {
    scene.find("ballots", "MalformedBallot", index, hex(name));
    return;
  }
  const { definition, eid } = election;
  if (!equal(ballot.eid, eid)) scene.find("ballots", "WrongElection", index, hex(name));
  if (election.spent.has(hex(ballot.bid))) scene.find("ballots", "BallotKeyReused", index, hex(name));
  election.spent.add(hex(ballot.bid));
  scene.later(index, () => ballotFlaws(definition, eid, ballot));
}

function erased(scene, index, event) {
  if (event.kind !== "BallotCast") return;
  const election = scene.election(index, { election: event.election ?? new Uint8Array() });
  if (election === null || election.publishedAt || election.status === "cancelled") return;
  scene.find("ballots", "ErasedTooEarly", index, "they are not published");
}

async function unused(scene, index, event) {
  const election = scene.election(index, event);
  if (election === null) return;
  const { definition, eid } = election;
  if (!election.closed) scene.find("ballots", "ClaimedTooEarly", index, `the election is ${election.status}`);
  const bid = hex(keyHash(event.bpk));
  if (election.claimed.has(bid)) scene.find("ballots", "ClaimedTwice", index, "it was claimed already");
  if (election.claimsUntilUs > 0n && election.claimsUntilUs <= scene.timeUs) {
    scene.find("ballots", "ClaimedTooLate", index, "the time for claims was over");
  }
  const { bpk, prefix, credential, signature } = event;
  scene.later(index, async () => {
    const flaws = (await credentialWeight(definition, eid, event)) === null ? [badCredential()] : [];
    const good = await verifyPss(bpk, signature, frame("unused", eid, bpk, prefix, credential));
    return good ? flaws : [...flaws, ["signatures", "ClaimSignature", "the ballot key did not sign the claim"]];
  });
  if (!election.claimed.has(bid)) {
    election.claimed.set(bid, index);
    if (!election.spent.has(bid)) election.unspent += 1;
    const weight = definition === null ? null : await weightOf(definition, eid, event);
    if (weight !== null) election.claimedFor.set(weight, (election.claimedFor.get(weight) ?? 0) + 1);
  }
  checkMinted(scene, index, election);
}

/** More credentials were used than issued. Reported once an election, at the entry where it first shows. */
function checkMinted(scene, index, election) {
  const { casts, issued: issues, publishedAt, spent, unspent } = election;
  const used = Math.max(casts, publishedAt ? spent.size + unspent : 0);
  if (used > issues.size) findMinted(scene, index, election, `${used} were used, ${issues.size} were issued`);
}

export function findMinted(scene, index, election, detail) {
  if (election.minted || scene.findings.damaged) return;
  scene.find("ballots", "CredentialsMinted", index, detail);
  election.minted = true;
}

/** At the end of the log: no credential both cast and claimed. */
export function finish(scene, { spent, claimed }) {
  for (const [bid, index] of claimed) {
    if (spent.has(bid)) scene.find("ballots", "ClaimedButCast", index, "a ballot with the credential is on the board");
  }
}

export const HANDLERS = {
  CredentialIssued: issued,
  BallotCast: cast,
  ElectionClosed: closed,
  EpochEnded: epochEnded,
  BallotsPublished: published,
  PrivateErased: erased,
  CredentialUnused: unused,
};
