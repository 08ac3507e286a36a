// What a page believes of the log: nothing but what a majority of the nodes signed, from the pinned genesis on.

import { parseFrame } from "../verifier/frame.mjs";
import { voters } from "../verifier/members.mjs";
import { readNote, verifyNote } from "../verifier/note.mjs";
import { checkReceipt, foundersOf, noteOf } from "../verifier/receipt.mjs";
import { sha256 } from "../verifier/sha256.mjs";
import { isConsistent, isIncluded, leafHash } from "../verifier/tree.mjs";
import { changesOf } from "./changes.mjs";
import { demand, Reader } from "./reader.mjs";

const POLL_MS = 100;
const PATIENCE_MS = 20_000;
const RECORD = "log";

/** One reader's view of the log: whoever was shown one log is shown the same one ever after, also in later sessions. */
export class Log {
  #store;
  // The newest checkpoint, { size, root }, and the lists of members up to there, [index, members] each.
  #newest;
  #lists;

  /** `genesisFile`: F(genesis-file, header, public), which comes with the page and not from a node. */
  static async open(nodes, genesisFile, store) {
    const log = new Log();
    const [header] = parseFrame("genesis-file", genesisFile, 2);
    const founders = foundersOf(genesisFile);
    log.reader = new Reader(nodes);
    log.origin = founders.origin;
    log.genesis = sha256(header);
    log.#store = store;
    const first = { newest: { size: 1, root: leafHash(header) }, lists: [[1n, founders]] };
    const kept = (await store.load(RECORD)) ?? first;
    [log.#newest, log.#lists] = [kept.newest, kept.lists];
    return log;
  }

  /** Entry `index`, proven to be in a tree that a majority signed. Throws Untrusted, and what the verifier throws. */
  async entry(index) {
    const deadline = Date.now() + PATIENCE_MS;
    while (this.#newest.size < index) {
      demand(Date.now() < deadline, `no checkpoint covers entry ${index}`);
      await this.#follow(await this.reader.checkpoint());
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    const [checkpoint, entry] = [this.#newest, await this.reader.entry(index)];
    await this.#included(entry, checkpoint);
    return entry;
  }

  /** The index at which a receipt proves exactly this ballot to be recorded. Throws as `entry`, and ReceiptError. */
  async receipt(text, body) {
    const members = await this.#follow(noteOf(text));
    return (await checkReceipt(text, members, body)).index;
  }

  /** The members who signed this note, once it is believed: either all of it is or nothing. */
  async #follow(note) {
    const size = Number(readNote(note).size);
    const { lists, entries, checkpoints } = await changesOf(this.reader, this.#lists, size);
    const members = lists.findLast(([index]) => index <= size)[1];
    const signed = { size, root: (await verifyNote(note, this.origin, voters(members))).root };
    for (const before of [this.#newest, ...checkpoints]) await this.#continues(before, signed);
    for (const entry of entries) await this.#included(entry, signed);
    if (size > this.#newest.size) this.#newest = signed;
    this.#lists = lists;
    await this.#store.save(RECORD, { newest: this.#newest, lists });
    return members;
  }

  async #continues(one, other) {
    const [older, newer] = [one, other].sort((a, b) => a.size - b.size);
    const proof = await this.reader.consistency(older.size, newer.size);
    demand(isConsistent(older.size, newer.size, older.root, newer.root, proof), "the nodes show two different logs");
  }

  async #included({ index, leaf }, { size, root }) {
    const proof = await this.reader.inclusion(index, size);
    demand(isIncluded(leaf, Number(index) - 1, size, proof, root), `entry ${index} is not in the log`);
  }
}
