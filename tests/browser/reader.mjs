// What the nodes show of the public log, and what they claim to prove it with: whoever asks has to check.

import { unbase64url } from "../verifier/bytes.mjs";
import { readEntry } from "../verifier/entry.mjs";
import { leafHash } from "../verifier/tree.mjs";
import { NoAnswer, send } from "./api.mjs";

/** The nodes show what cannot be, or what they cannot prove. Stop, and tell the voter. */
export class Untrusted extends Error {}

export const demand = (holds, reason) => {
  if (!holds) throw new Untrusted(reason);
};

/** Asks for what everybody may see, and says nothing of who asks. */
export class Reader {
  constructor(nodes) {
    this.nodes = nodes;
  }

  /** The note of the newest checkpoint. */
  async checkpoint() {
    return (await send(this.nodes, "/api/ledger/checkpoint")).bytes();
  }

  /** An entry, with `leaf`, its hash in the tree. */
  async entry(index) {
    const { entries } = await this.#get(`entries?from=${index}&to=${index}`);
    demand(entries.length === 1, `entry ${index} is not shown`);
    const entry = read(entries[0]);
    demand(entry.index === BigInt(index), `entry ${index} calls itself ${entry.index}`);
    return entry;
  }

  /** The entries with lists of members, from `first` on and within the first `size`, in order. */
  async membershipEntries(first, size) {
    const found = [];
    for (let from = first; from !== null; ) {
      const { entries, last, next } = await this.#get(`members?from=${from}`);
      if (last < size) throw new NoAnswer(`the node has not got to entry ${size} yet`);
      found.push(...entries.map(read));
      from = next;
    }
    return found.filter(({ index }) => index <= size);
  }

  async inclusion(index, size) {
    return (await this.#get(`proof/inclusion?index=${index}&size=${size}`)).proof.map(unbase64url);
  }

  async consistency(old, size) {
    if (old === size) return [];
    return (await this.#get(`proof/consistency?old=${old}&new=${size}`)).proof.map(unbase64url);
  }

  async #get(path) {
    return (await send(this.nodes, `/api/ledger/${path}`)).json();
  }
}

function read(shown) {
  const [header, publicPart] = [shown.header, shown.public].map(unbase64url);
  const { entry, problem } = readEntry(header, publicPart);
  demand(!problem, `an entry that does not parse: ${problem}`);
  return { ...entry, leaf: leafHash(header) };
}
