// Levels structure, chain and signatures of the log itself: entries, tree, checkpoints, members.

import { equal, hex } from "./bytes.mjs";
import { linkProblem, readEntry } from "./entry.mjs";
import { longLivedFlaw } from "./keycheck.mjs";
import { contradictions, MembersError, readMembers, readRecovery, RECOVERED, Succession, voters } from "./members.mjs";
import { NoteError, readNote, verifyNote } from "./note.mjs";

const weak = new Map();

/** What is wrong with a key that is relied on for long, remembered: it takes a while. */
export function weakness(modulus) {
  const name = hex(modulus);
  if (!weak.has(name)) weak.set(name, longLivedFlaw(modulus));
  return weak.get(name);
}

export async function signatureFlaws(note, members) {
  try {
    await verifyNote(note, members.origin, voters(members));
    return [];
  } catch (error) {
    if (error instanceof NoteError) return [["signatures", "CheckpointSignature", error.message]];
    throw error;
  }
}

export class ChainCheck {
  constructor(scene, pinned) {
    this.scene = scene;
    this.pinned = pinned;
    this.before = null;
    this.succession = null;
    this.covered = 0;
    this.largest = 0n;
    this.checkpoints = 0;
  }

  /** The entry, if its payload can be believed, else null. */
  async entry(header, publicPart) {
    const { scene } = this;
    const place = scene.tree.size + 1;
    scene.tree.append(header);
    const { entry, problem } = readEntry(header, publicPart);
    if (problem) scene.find("structure", "MalformedEntry", place, problem);
    if (place === 1) this.checkFirst(entry);
    if (entry !== null && (this.before !== null || place === 1)) {
      const broken = linkProblem(this.before, entry);
      if (broken) scene.find("chain", "ChainBroken", place, broken);
    }
    const before = this.before;
    this.before = entry;
    if (entry === null || problem) return null;
    await this.followMembers(entry, before, place);
    return entry;
  }

  checkFirst(entry) {
    if (entry === null || entry.kind !== "Genesis" || entry.term !== 0n) {
      this.scene.find("chain", "GenesisMissing", 1, "the log does not start with its genesis");
      return;
    }
    this.scene.genesis = entry.hash;
    if (this.pinned && hex(entry.hash) !== this.pinned) this.scene.find("chain", "GenesisDiffers", 1, "not the pinned one");
  }

  async followMembers(entry, before, place) {
    const { scene } = this;
    if (entry.kind === "Genesis" && place !== 1) {
      scene.find("chain", "GenesisRepeated", place, "a log has one genesis, its first entry");
    } else if (entry.kind === "Genesis") {
      this.succession = new Succession(readMembers(entry.fields), scene.tree);
    } else if (this.succession !== null) {
      if (entry.kind === RECOVERED) this.checkRecovery(entry, before, place);
      await this.succession.entry(entry).catch((error) => {
        if (!(error instanceof MembersError)) throw error;
        scene.find("signatures", "NotHandedOver", place, error.message);
      });
    }
    if (this.succession === null || this.succession.members === scene.members) return;
    scene.members = this.succession.members;
    for (const node of scene.members.nodes) this.ownNode(place, node);
  }

  ownNode(place, node) {
    this.scene.own(place, node.rsa, `node ${node.id}`);
    const flaw = weakness(node.rsa);
    if (flaw) this.scene.find("signatures", "WeakKey", place, `the key of node ${node.id}: ${flaw}`);
  }

  checkRecovery(entry, before, place) {
    const { scene } = this;
    let recovery;
    try {
      recovery = readRecovery(entry.fields);
    } catch (error) {
      if (!(error instanceof MembersError)) throw error;
      scene.find("structure", "MalformedEvent", place, error.message);
      return;
    }
    if (scene.members === null || before === null) return;
    const problems = contradictions(recovery, scene.members, place);
    if (entry.term <= before.term) problems.push("the recovery opens no new term");
    if (recovery.evidence.length) {
      const { members } = scene;
      scene.later(place, () => signatureFlaws(recovery.evidence, members));
      if (this.leadsTo(recovery.evidence)) problems.push("the evidence is of this very log");
    }
    for (const problem of problems) scene.find("chain", "RecoveryMisstated", place, problem);
    scene.recoveries.push({ index: Number(entry.index), hash: hex(entry.hash), proven: this.covered });
  }

  leadsTo(note) {
    try {
      const { size, root } = readNote(note);
      return size > 0n && size < this.scene.tree.size && equal(this.scene.tree.root(Number(size)), root);
    } catch (error) {
      if (error instanceof NoteError) return false;
      throw error;
    }
  }

  checkpoint(note) {
    const { scene } = this;
    const place = scene.tree.size;
    this.checkpoints += 1;
    let checkpoint;
    try {
      checkpoint = readNote(note);
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      scene.find("structure", "MalformedCheckpoint", place, error.message);
      return;
    }
    const [name, detail] = this.misplaced(checkpoint, place);
    if (name) scene.find("chain", name, place, detail);
    else this.covered = place;
    if (checkpoint.size > this.largest) this.largest = checkpoint.size;
    const { members } = scene;
    if (members !== null) scene.later(place, () => signatureFlaws(note, members));
  }

  misplaced({ size, root }, place) {
    if (size <= this.largest) return ["CheckpointRolledBack", `size ${size} after ${this.largest}`];
    if (size !== BigInt(place)) return ["CheckpointMisplaced", `size ${size} after entry ${place}`];
    if (!equal(root, this.scene.tree.root())) return ["RootDiffers", "another root was signed"];
    return ["", ""];
  }

  /** At the end of the export; `record` is null when it breaks off. */
  end(record) {
    const { scene } = this;
    const count = scene.tree.size;
    if (count === 0) scene.find("chain", "GenesisMissing", 0, "the export has no entries");
    if (record === null) scene.find("structure", "ExportBreaksOff", count, "the closing record is missing");
    else if (record.count !== count) scene.find("structure", "EndDiffers", count, "another number is announced");
    if (this.covered < count) scene.find("chain", "EndNotCovered", count, `covered are ${this.covered} of ${count}`);
  }
}
