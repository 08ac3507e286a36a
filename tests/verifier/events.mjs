// What each kind of entry says publicly: its fields and their types (section 3).

import { unpack, UnpackError } from "./msgpack.mjs";

export class EventError extends Error {}
export class UnknownKind extends Error {}

const bytes = (size) => (value) => value instanceof Uint8Array && (size === undefined || value.length === size);
const [id, hash, prime, rsa2048, rsa3072, blob] = [16, 32, 192, 256, 384, undefined].map(bytes);
const int = (value) => Number.isInteger(value) || typeof value === "bigint";
const count = (value) => int(value) && value >= 0;
const positive = (value) => int(value) && value >= 1 && value < 2 ** 32;
const epoch = (value) => count(value) && value < 2 ** 32;
const text = (value) => typeof value === "string";
const truth = (value) => typeof value === "boolean";
const list = (item) => (value) => Array.isArray(value) && value.every(item);
const voter = (value) => Array.isArray(value) && value.length === 2 && id(value[0]) && positive(value[1]);
const part = (value) => Array.isArray(value) && value.length === 2 && count(value[0]) && text(value[1]);
const optional = (type) => (value) => value === undefined || type(value);

const named = { election: id, eid: hash };
const members = { origin: text };

export const KINDS = {
  Genesis: members,
  NodeAdded: members,
  NodeRemoved: members,
  NodeKeyRotated: members,
  ClusterRecovered: members,
  MembersAnnounced: members,
  TermOpened: { node: int },
  UserRegistered: { user: id },
  PasswordChanged: { user: id },
  IdentityKeyEnrolled: { user: id, n: rsa3072, signature: rsa3072 },
  RoleGranted: { user: id, role: text, by: blob },
  RoleWithdrawn: { user: id, role: text, by: blob },
  ElectionDrafted: { election: id, organiser: id, draft: blob },
  ElectionAmended: { election: id, draft: blob },
  ElectionCancelled: { election: id, by: blob },
  VotersAdded: { election: id, voters: list(voter) },
  VotersKept: { election: id, source: count, voters: list(id), without: id },
  RollFrozen: { election: id, leaves: list(blob), root: hash, size: count },
  TrusteeInvited: { election: id, user: id, name: text },
  TrusteeWithdrawn: { election: id, user: id, enrolled: truth },
  TrusteeEnrolled: { election: id, user: id, number: int, name: text, n: rsa3072, proof: rsa3072 },
  ElectionOpened: { ...named, definition: blob },
  ElectionStarted: named,
  CredentialIssued: { ...named, voter: id, identity: hash, blinded: rsa3072, identity_sig: rsa3072, blind_sig: rsa3072 },
  BallotCast: named,
  ElectionClosed: { ...named, casts: count, by: blob, claims_until_us: optional(count) },
  EpochEnded: { ...named, epoch, casts: count },
  BallotsPublished: { ...named, chunk: count, last: truth, ballots: list(blob), epoch: optional(epoch), end: optional(truth) },
  PrivateErased: { kind: text, reason: text, first: count, last: count, election: optional(blob), user: optional(blob), parts: optional(list(part)) },
  TrusteeKeyReleased: { ...named, number: int, p: prime, q: prime, size: count, root: hash, signature: rsa3072 },
  CredentialUnused: { ...named, bpk: rsa2048, prefix: hash, credential: rsa3072, signature: rsa2048 },
  TallySeeds: { ...named, chunk: count, last: truth, seeds: list(blob) },
  TallyPublished: { ...named, document: blob },
  TallyAttested: { ...named, node: positive, agrees: truth, digest: hash, signature: rsa3072 },
  MailOrdered: { election: id, kind: text, round: count },
  MailClaimed: { election: id, kind: text, round: count, count },
  MailReported: { election: id, kind: text, claim: id, sent: count, bounced: count, deferred: count, unknown: count },
  MailBounced: { election: id, kind: text },
};

/** The fields of an entry's payload as an object. Throws EventError, UnknownKind. */
export function readEvent(entry) {
  if (!Object.hasOwn(KINDS, entry.kind)) throw new UnknownKind(`the kind ${entry.kind} is not known`);
  let fields;
  try {
    fields = unpack(entry.publicPart);
  } catch (error) {
    if (error instanceof UnpackError) throw new EventError(error.message);
    throw error;
  }
  if (!(fields instanceof Map)) throw new EventError("not a map");
  const event = {};
  for (const [name, type] of Object.entries(KINDS[entry.kind])) {
    event[name] = fields.get(name);
    if (!type(event[name])) throw new EventError(`the field ${name} is missing or of another type`);
  }
  return event;
}
