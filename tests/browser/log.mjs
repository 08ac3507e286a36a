// What a page believes of the log: nothing but what a majority of the nodes signed, from the pinned genesis on.

import { unbase64url } from "../verifier/bytes.mjs";
import { readEntry } from "../verifier/entry.mjs";
import { parseFrame } from "../verifier/frame.mjs";
import { voters } from "../verifier/members.mjs";
import { verifyNote } from "../verifier/note.mjs";
import { checkReceipt, foundersOf } from "../verifier/receipt.mjs";
import { isConsistent, isIncluded, leafHash } from "../verifier/tree.mjs";
import { send } from "./api.mjs";

const POLL_MS = 100;
const PATIENCE_MS = 20_000;
const RECORD = "checkpoint";

/** The cluster shows what it cannot prove. Stop, and tell the voter. */
export class Untrusted extends Error {}

export const demand = (holds, reason) => {
  if (!holds) throw new Untrusted(reason);
};

/** One reader's view of the log. It asks for what everybody may see, and says nothing of who asks. */
export class Log {
  #newest;
  #store;

  /** `genesisFile`: F(genesis-file, header, public), which comes with the page and not from a node. */
  static async open(nodes, genesisFile, store) {
    const log = new Log();
    const [header] = parseFrame("genesis-file", genesisFile, 2);
    log.nodes = nodes;
    log.genesis = readEntry(...parseFrame("genesis-file", genesisFile, 2)).entry.hash;
    log.members = foundersOf(genesisFile);
    log.#store = store;
    log.#newest = (await store.load(RECORD)) ?? { size: 1, root: leafHash(header) };
    return log;
  }

  /** Entry `index`, proven to be in a tree that a majority signed. Throws Untrusted. */
  async entry(index) {
    const { size, root } = await this.#covering(index);
    const [shown] = (await this.#get(`/api/ledger/entries?from=${index}&to=${index}`)).entries;
    const [header, publicPart] = [shown.header, shown.public].map(unbase64url);
    const { proof } = await this.#get(`/api/ledger/proof/inclusion?index=${index}&size=${size}`);
    const { entry, problem } = readEntry(header, publicPart);
    demand(!problem && entry.index === BigInt(index), `not entry ${index}: ${problem}`);
    demand(isIncluded(leafHash(header), index - 1, size, proof.map(unbase64url), root), `entry ${index} is not in the log`);
    return entry;
  }

  /** The index at which a receipt proves exactly this ballot to be recorded. Throws Untrusted, ReceiptError. */
  async receipt(text, body) {
    const { index, checkpoint } = await checkReceipt(text, this.members, body);
    await this.#follow(checkpoint);
    return index;
  }

  async #get(path) {
    return (await send(this.nodes, path)).json();
  }

  /** A checkpoint of at least `index` entries. */
  async #covering(index) {
    const deadline = Date.now() + PATIENCE_MS;
    while (this.#newest.size < index) {
      demand(Date.now() < deadline, `no checkpoint covers entry ${index}`);
      const note = await (await send(this.nodes, "/api/ledger/checkpoint")).bytes();
      await this.#follow(await verifyNote(note, this.members.origin, voters(this.members)));
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return this.#newest;
  }

  /** Whoever was shown one log is shown the same one ever after, in this session and in later ones. */
  async #follow(checkpoint) {
    const signed = { size: Number(checkpoint.size), root: checkpoint.root };
    const [older, newer] = [signed, this.#newest].sort((one, other) => one.size - other.size);
    const proof = older.size === newer.size ? [] : await this.#consistency(older.size, newer.size);
    demand(isConsistent(older.size, newer.size, older.root, newer.root, proof), "the nodes show two different logs");
    this.#newest = newer;
    await this.#store.save(RECORD, newer);
  }

  async #consistency(older, newer) {
    const { proof, members } = await this.#get(`/api/ledger/proof/consistency?old=${older}&new=${newer}`);
    // client/log.py shows how to follow changes of the members (docs/protocol.md, section 5).
    demand(members === 1, "the members of the cluster have changed, which this page cannot follow");
    return proof.map(unbase64url);
  }
}
