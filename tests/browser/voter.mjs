// A voter in a browser: identity key, credential, ballot, receipt (docs/api.md, "Vote"; docs/protocol.md, section 8).
//
// Everything secret is stored before anything of it is sent, so every step may be taken again after a crash.

import { contextOf } from "../verifier/ballot.mjs";
import { base64url, concat, equal, hex, unbase64url, unhex, utf8 } from "../verifier/bytes.mjs";
import { readChoice, readDefinition } from "../verifier/definition.mjs";
import { encode } from "../verifier/document.mjs";
import { seal } from "../verifier/envelope.mjs";
import { frame, frameHash, keyHash } from "../verifier/frame.mjs";
import { unpack } from "../verifier/msgpack.mjs";
import { send } from "./api.mjs";
import { blind, random, unblind } from "./blind.mjs";
import { demand } from "./reader.mjs";

const { subtle } = crypto;
const RSA = { name: "RSA-PSS", hash: "SHA-384", publicExponent: Uint8Array.of(1, 0, 1) };
const [IDENTITY_BITS, BALLOT_KEY_BITS] = [3072, 2048];
const IDENTITY = "identity";

/** A key that signs and that no script can read. */
const makeKey = (modulusLength) => subtle.generateKey({ ...RSA, modulusLength }, false, ["sign"]);

const modulusOf = async ({ publicKey }) => unbase64url((await subtle.exportKey("jwk", publicKey)).n);

/** PSS(key, message): SHA-384, MGF1 with the same, a salt of 48 bytes. */
const sign = async ({ privateKey }, message) =>
  new Uint8Array(await subtle.sign({ name: "RSA-PSS", saltLength: 48 }, privateKey, message));

export class Voter {
  #identity;

  /** `account` is logged in; `user` is its id, base64url; `casting` are the nodes to cast at (see `cast`). */
  constructor(account, user, log, store, casting) {
    Object.assign(this, { account, user: unbase64url(user), log, store, casting });
  }

  async enrol() {
    this.#identity = await this.store.load(IDENTITY);
    if (this.#identity === undefined) {
      this.#identity = await makeKey(IDENTITY_BITS);
      await this.store.save(IDENTITY, this.#identity);
    }
    const n = await modulusOf(this.#identity);
    const signature = await sign(this.#identity, frame("identity-key", this.user, n));
    await this.account.ask("PUT", "/api/auth/identity-key", { n: base64url(n), signature: base64url(signature) });
  }

  /** The open election, once it is shown to be what everybody else sees. Throws Untrusted. */
  async believe(id) {
    const shown = await (await this.account.ask("GET", `/api/elections/${id}`)).json();
    const data = unbase64url(shown.definition);
    const eid = frameHash("election", data);
    // A registrar key shown to one voter alone would mark that voter's ballot.
    const entry = await this.log.entry(shown.opened_at);
    const fields = unpack(entry.publicPart, { textKeys: true });
    demand(entry.kind === "ElectionOpened" && equal(fields.get("election"), unbase64url(id)), "another election was opened");
    demand(equal(fields.get("eid"), eid) && equal(fields.get("definition"), data), "the log has another definition");
    const definition = readDefinition(data);
    const { origin, genesis, registrars } = definition;
    demand(origin === this.log.origin && genesis === hex(this.log.genesis), "the election is another log's");
    const registrar = registrars.length === 1 ? registrars[0] : registrars.find(({ weight }) => weight === shown.weight);
    return { id, eid, definition, registrar: unhex(registrar.n) };
  }

  async askCredential({ id, eid, registrar }) {
    const secrets = (await this.store.load(hex(eid))) ?? (await this.#begin(eid, registrar));
    if (secrets.credential) return;
    const { blinded, bpk, prefix, unblinder } = secrets;
    const identity = keyHash(await modulusOf(this.#identity));
    const signature = await sign(this.#identity, frame("issue", eid, this.user, identity, blinded));
    const body = { blinded: base64url(blinded), identity_sig: base64url(signature) };
    const reply = await (await this.account.ask("POST", `/api/elections/${id}/credential`, body)).json();
    const prepared = concat(prefix, frame("credential", eid, bpk));
    const credential = await unblind(registrar, prepared, unbase64url(reply.blind_sig), unblinder);
    await this.store.save(hex(eid), { ...secrets, credential });
  }

  async #begin(eid, registrar) {
    const key = await makeKey(BALLOT_KEY_BITS);
    const [bpk, prefix] = [await modulusOf(key), random(32)];
    const secrets = { key, bpk, prefix, ...(await blind(registrar, concat(prefix, frame("credential", eid, bpk)))) };
    await this.store.save(hex(eid), secrets);
    return secrets;
  }

  /** The sealed ballot with these answers, one list a question. Once sealed it stays as it is. */
  async fillIn({ eid, definition }, answers) {
    const secrets = await this.store.load(hex(eid));
    if (secrets.body) return secrets.body;
    const choice = encode({ answers });
    if (readChoice(definition.questions, choice) === null) throw new RangeError("not a valid choice");
    const { key, bpk, prefix, credential } = secrets;
    const envelope = await seal(contextOf(definition, eid, keyHash(bpk)), choice, random(32));
    const cast = frame("cast", eid, bpk, prefix, credential, envelope);
    const body = frame("ballot", cast, await sign(key, cast));
    await this.store.save(hex(eid), { ...secrets, body });
    return body;
  }

  /**
   * The index at which the ballot is recorded: only then may the voter be told so. After NoAnswer, call it again.
   *
   * A page cannot open a connection of its own for the cast, but a browser shares none between two names (save over
   * HTTP/2, where one certificate has both): `casting` are names of nodes to which this page never says who its user is.
   */
  async cast({ eid }) {
    const { body, ...secrets } = await this.store.load(hex(eid));
    const headers = { "Content-Type": "application/octet-stream" };
    const answer = await (await send(this.casting, "/api/votes", { method: "POST", headers, body })).json();
    const index = await this.log.receipt(utf8(answer.receipt), body);
    demand(index === answer.index, "the receipt is for another place than the answer says");
    await this.store.save(hex(eid), { ...secrets, body, receipt: answer.receipt });
    return index;
  }
}
