// Changes of members: every list is put in force by a majority of the one before (docs/protocol.md, section 5).

import { RECOVERED, Succession, typed } from "../verifier/members.mjs";
import { readNote } from "../verifier/note.mjs";
import { demand } from "./reader.mjs";

/**
 * What the nodes show beyond the `lists` known so far, within the first `size` entries: { lists, entries, checkpoints }.
 *
 * The signatures are verified. The lists may be believed once the log is shown to hold these entries and to go on from
 * these checkpoints, which those before each change signed. Throws Untrusted, MembersError.
 */
export async function changesOf(reader, lists, size) {
  const roots = new Map();
  const succession = new Succession(null, { root: (at) => roots.get(at) ?? null });
  succession.lists = [...lists];
  const entries = [];
  for (const change of await reader.membershipEntries(Number(lists.at(-1)[0]) + 1, size)) {
    // Nobody is left who could sign for that: its hash has to come from the operator, as the genesis does.
    demand(change.kind !== RECOVERED, "the log was recovered by a single node, which this page cannot judge");
    const before = readNote(typed(change.fields, "note", "bytes"));
    const announcement = await reader.entry(typed(change.fields, "announced", "int"));
    roots.set(Number(before.size), before.root);
    for (const entry of [announcement, change]) await succession.entry(entry);
    entries.push(announcement, change);
  }
  const checkpoints = [...roots].map(([at, root]) => ({ size: at, root }));
  return { lists: succession.lists, entries, checkpoints };
}
