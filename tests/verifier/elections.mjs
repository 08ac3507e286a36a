// Who may vote, and on what: identity keys, rolls, trustees, definitions.

import { compare, equal, hex, unhex, utf8 } from "./bytes.mjs";
import { weakness } from "./chain.mjs";
import { DefinitionError, readDefinition } from "./definition.mjs";
import { decode, DocumentError } from "./document.mjs";
import { frame, FrameError, frameHash, parseFrame } from "./frame.mjs";
import { verifyPss } from "./rsa.mjs";
import { flawAtAGlance } from "./keycheck.mjs";
import { Election } from "./scene.mjs";
import { rootOf } from "./tree.mjs";

/** An election that may still be changed, null (with a finding) for another one. */
function draftOf(scene, index, event) {
  const election = scene.election(index, { election: event.election });
  if (election === null || election.status === "draft") return election;
  scene.find("ballots", "ChangedAfterFreeze", index, `the election is ${election.status}`);
  return null;
}

function identityEnrolled(scene, index, { user, n, signature }) {
  scene.expect(index, "signatures", "IdentityKeySignature", () => verifyPss(n, signature, frame("identity-key", user, n)));
  const flaw = flawAtAGlance(n, 3072);
  if (flaw) scene.find("signatures", "WeakKey", index, `the key of user ${hex(user)}: ${flaw}`);
  scene.enrol(index, user, n);
}

function drafted(scene, index, { election, draft }) {
  if (scene.elections.has(hex(election))) scene.find("ballots", "DraftedTwice", index, "it exists already");
  else scene.elections.set(hex(election), new Election(election, draft));
}

function amended(scene, index, event) {
  const election = draftOf(scene, index, event);
  if (election !== null) election.draft = event.draft;
}

/** How many of so many trustees the draft asks for: its `k`, or more than half of them (section 7). */
function needed(draft, trustees) {
  let asked;
  try {
    asked = decode(draft).k;
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
  }
  return Number.isSafeInteger(asked) && asked > 0 ? asked : Math.floor(trustees / 2) + 1;
}

function cancelled(scene, index, event) {
  const election = scene.election(index, { election: event.election });
  if (election === null) return;
  if (election.closed) scene.find("ballots", "CancelledAfterClose", index, "ballots would never be counted");
  election.status = "cancelled";
}

function votersAdded(scene, index, event) {
  const election = draftOf(scene, index, event);
  if (election === null) return;
  for (const [voter, weight] of event.voters) {
    if (!election.added.has(hex(voter))) election.added.set(hex(voter), weight);
  }
}

function votersKept(scene, index, event) {
  const election = scene.election(index, { election: event.election });
  if (election === null || [...event.voters, event.without].every((voter) => election.added.has(hex(voter)))) return;
  scene.find("ballots", "KeptWrongly", index, "one of these voters was never added to the roll");
}

function rollFrozen(scene, index, event) {
  const election = draftOf(scene, index, event);
  if (election === null) return;
  const { leaves, root, size } = event;
  if (leaves.some((leaf, at) => at && compare(leaves[at - 1], leaf) > 0)) {
    scene.find("ballots", "RollUnsorted", index, "the leaves are not in order");
  }
  if (!equal(root, rootOf(leaves)) || size !== leaves.length) {
    scene.find("ballots", "RollRootDiffers", index, "root and size are not those of the leaves");
  }
  const known = leaves.filter((leaf) => putOnRoll(scene, index, election, leaf)).length;
  const { roll, added } = election;
  const same = [known, added.size, roll.size].every((count) => count === leaves.length);
  if (!same) scene.find("ballots", "RollDiffers", index, "the frozen roll is not made of the voters that were added");
  election.rollRoot = root;
  election.status = "frozen";
}

/** Whether the leaf is that of a voter who was added, with that weight. */
function putOnRoll(scene, index, election, leaf) {
  let voter;
  let weight;
  try {
    let digest;
    [voter, weight, digest] = parseFrame("roll", leaf, 3);
    if (voter.length !== 16 || weight.length !== 4 || digest.length !== 32) throw new FrameError("a field's length");
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    scene.find("structure", "MalformedEvent", index, `a leaf of the roll: ${error.message}`);
    return false;
  }
  if (election.roll.has(hex(voter))) scene.find("ballots", "VoterTwiceOnRoll", index, hex(voter));
  election.roll.set(hex(voter), Number(`0x${hex(weight)}`));
  return election.added.get(hex(voter)) === Number(`0x${hex(weight)}`);
}

function trusteeInvited(scene, index, event) {
  draftOf(scene, index, event)?.invited.set(hex(event.user), event.name);
}

function trusteeWithdrawn(scene, index, event) {
  const election = draftOf(scene, index, event);
  if (election === null) return;
  const user = hex(event.user);
  if (!election.invited.has(user) || event.enrolled !== election.trustees.has(user)) {
    scene.find("ballots", "TrusteeWithdrawnWrongly", index, "no such invitation, or in another state");
  }
  election.invited.delete(user);
  election.trustees.delete(user);
}

function trusteeEnrolled(scene, index, event) {
  const election = draftOf(scene, index, event);
  if (election === null) return;
  const { name, n, number, proof } = event;
  const user = hex(event.user);
  const { invited, trustees } = election;
  if (invited.get(user) !== name) scene.find("ballots", "TrusteeNotInvited", index, `${user} as ${name}`);
  election.enrolments += 1;
  if (number !== election.enrolments || trustees.has(user)) {
    scene.find("ballots", "TrusteeMisnumbered", index, `enrolment ${election.enrolments} comes next`);
  }
  const others = [...trustees.values()].map(([, other]) => other);
  trustees.set(user, [name, hex(n)]);
  const message = frame("trustee-key", event.election, utf8(name), n);
  scene.expect(index, "signatures", "TrusteeKeyProof", () => verifyPss(n, proof, message));
  scene.own(index, n, `a trustee of election ${hex(event.election)}`);
  if (others.includes(hex(n))) scene.find("signatures", "KeyReused", index, "another trustee's");
}

function opened(scene, index, event) {
  const election = scene.election(index, { election: event.election });
  if (election === null) return;
  if (election.status !== "frozen") scene.find("ballots", "OpenedWrongly", index, `it is ${election.status}`);
  if (!equal(event.eid, frameHash("election", event.definition))) {
    scene.find("ballots", "WrongElection", index, "eid is not the hash of the definition");
  }
  let definition;
  try {
    definition = readDefinition(event.definition);
  } catch (error) {
    if (!(error instanceof DefinitionError)) throw error;
    scene.find("structure", "MalformedDefinition", index, error.message);
    return;
  }
  if (election.definition === null && definition.k !== needed(election.draft, definition.trustees.length)) {
    scene.find("ballots", "ThresholdDiffers", index, "the draft asks for another number of trustees");
  }
  election.definition = definition;
  election.eid = event.eid;
  election.epochSinceUs = [scene.timeUs, BigInt(definition.opensUs)].reduce((a, b) => (a > b ? a : b));
  election.status = scene.timeUs < definition.opensUs ? "scheduled" : "open";
  checkDefinition(scene, index, election, definition);
}

function started(scene, index, event) {
  const election = scene.election(index, event);
  if (election === null || election.definition === null) return;
  if (election.status !== "scheduled") scene.find("ballots", "StartedWrongly", index, `it is ${election.status}`);
  if (scene.timeUs < election.definition.opensUs) scene.find("ballots", "StartedTooEarly", index, "not yet time");
  election.status = "open";
}

function checkDefinition(scene, index, election, definition) {
  const { roll, trustees, registrars, origin, genesis } = definition;
  if (roll.size !== election.roll.size || roll.root !== hex(election.rollRoot)) {
    scene.find("ballots", "RollRootDiffers", index, "the definition names another roll than the frozen one");
  }
  if ([...election.invited.keys()].some((user) => !election.trustees.has(user))) {
    scene.find("ballots", "TrusteeMissing", index, "somebody who is invited has not enrolled a key");
  }
  const enrolled = [...election.trustees.values()];
  const same = enrolled.length === trustees.length && trustees.every(({ name, n }, at) => enrolled[at].join() === [name, n].join());
  if (enrolled.length && !same) scene.find("ballots", "TrusteesDiffer", index, "other trustees than those enrolled");
  if (origin !== scene.members?.origin || genesis !== hex(scene.genesis)) {
    scene.find("ballots", "WrongLedger", index, "the definition is for another ledger");
  }
  const name = hex(election.election);
  for (const { n } of trustees) checkKey(scene, index, n, `a trustee of election ${name}`);
  for (const { n, weight } of registrars) checkKey(scene, index, n, `the registrar for weight ${weight} of election ${name}`);
}

function checkKey(scene, index, digits, owner) {
  const n = unhex(digits);
  scene.own(index, n, owner);
  const flaw = weakness(n);
  if (flaw) scene.find("signatures", "WeakKey", index, `the key of ${owner}: ${flaw}`);
}

export const HANDLERS = {
  IdentityKeyEnrolled: identityEnrolled,
  ElectionDrafted: drafted,
  ElectionAmended: amended,
  ElectionCancelled: cancelled,
  VotersAdded: votersAdded,
  VotersKept: votersKept,
  RollFrozen: rollFrozen,
  TrusteeInvited: trusteeInvited,
  TrusteeWithdrawn: trusteeWithdrawn,
  TrusteeEnrolled: trusteeEnrolled,
  ElectionOpened: opened,
  ElectionStarted: started,
};
