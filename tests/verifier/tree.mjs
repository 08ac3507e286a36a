// The Merkle tree of RFC 6962: roots of any size, and proofs as RFC 9162 verifies them.

import { equal } from "./bytes.mjs";
import { sha256 } from "./sha256.mjs";

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const EMPTY_ROOT = sha256(new Uint8Array());

export const leafHash = (data) => sha256(LEAF, data);
export const nodeHash = (left, right) => sha256(NODE, left, right);

/** Keeps the root of every complete subtree: `rows[h][i]` is that of the leaves from i * 2^h on. */
export class Tree {
  constructor() {
    this.rows = [[]];
  }

  get size() {
    return this.rows[0].length;
  }

  append(data) {
    let value = leafHash(data);
    for (let height = 0; ; height++) {
      this.rows[height] ??= [];
      const row = this.rows[height];
      row.push(value);
      if (row.length % 2) return;
      value = nodeHash(row.at(-2), value);
    }
  }

  /** The root of the first `size` leaves, null when there are fewer. */
  root(size = this.size) {
    if (size > this.size) return null;
    let [root, at] = [null, 0];
    const peaks = [];
    for (let height = this.rows.length - 1; height >= 0; height--) {
      const width = 2 ** height;
      if (Number(size) - at < width) continue;
      peaks.push(this.rows[height][at / width]);
      at += width;
    }
    for (const peak of peaks.reverse()) root = root === null ? peak : nodeHash(peak, root);
    return root ?? EMPTY_ROOT;
  }
}

/** The root over a list of leaf data. */
export function rootOf(leaves) {
  const tree = new Tree();
  for (const leaf of leaves) tree.append(leaf);
  return tree.root();
}

const half = (n) => Math.floor(n / 2);

/** Whether `leaf` (a hash) is number `index` of the tree with this size and root (RFC 9162, section 2.1.3.2). */
export function isIncluded(leaf, index, size, proof, root) {
  if (index >= size) return false;
  let [position, last, computed] = [index, size - 1, leaf];
  for (const node of proof) {
    if (last === 0) return false;
    if (position % 2 || position === last) {
      computed = nodeHash(node, computed);
      while (position % 2 === 0 && position) [position, last] = [half(position), half(last)];
    } else computed = nodeHash(computed, node);
    [position, last] = [half(position), half(last)];
  }
  return last === 0 && equal(computed, root);
}

/** Whether the tree of `size` leaves starts with exactly the `old` leaves of the other (RFC 9162, 2.1.4.2). */
export function isConsistent(old, size, oldRoot, root, proof) {
  if (old > size) return false;
  if (old === 0 || old === size) return proof.length === 0 && equal(oldRoot, old ? root : EMPTY_ROOT);
  const nodes = Number.isInteger(Math.log2(old)) ? [oldRoot, ...proof] : proof;
  if (!nodes.length) return false;
  let [position, last] = [old - 1, size - 1];
  while (position % 2) [position, last] = [half(position), half(last)];
  let [before, after] = [nodes[0], nodes[0]];
  for (const node of nodes.slice(1)) {
    if (last === 0) return false;
    if (position % 2 || position === last) {
      [before, after] = [nodeHash(node, before), nodeHash(node, after)];
      while (position % 2 === 0 && position) [position, last] = [half(position), half(last)];
    } else after = nodeHash(after, node);
    [position, last] = [half(position), half(last)];
  }
  return last === 0 && equal(before, oldRoot) && equal(after, root);
}
