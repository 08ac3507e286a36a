// The audit of an export: records in, a report out. Nothing in the export is believed for being there.

import { finish, HANDLERS as BALLOTS } from "./ballots.mjs";
import { hex } from "./bytes.mjs";
import { ChainCheck } from "./chain.mjs";
import { checkAttestations, HANDLERS as COUNT, recount } from "./count.mjs";
import { HANDLERS as ELECTIONS } from "./elections.mjs";
import { EventError, readEvent, UnknownKind } from "./events.mjs";
import { ExportError } from "./export.mjs";
import { LEVELS, Scene } from "./scene.mjs";
import { sha256 } from "./sha256.mjs";

const HANDLERS = { ...ELECTIONS, ...BALLOTS, ...COUNT };

/** Audits records (see `readExport`). `pinned` is the hash of the genesis in hex, or empty. */
export async function audit(records, pinned = "") {
  const scene = new Scene();
  const chain = new ChainCheck(scene, pinned);
  await readAll(records, scene, chain);
  await scene.settle();
  const elections = [];
  for (const election of scene.elections.values()) elections.push(await report(scene, election));
  return summary(scene, chain, elections);
}

async function readAll(records, scene, chain) {
  let end = null;
  let isExport = true;
  try {
    for (const record of records) {
      if (end !== null) {
        scene.find("structure", "ExportGoesOn", scene.tree.size + 1, "a record follows the end");
        break;
      }
      if (record.type === "end") end = record;
      else if (record.type === "checkpoint") chain.checkpoint(record.note);
      else await takeEntry(scene, await chain.entry(record.header, record.public));
    }
  } catch (error) {
    if (!(error instanceof ExportError)) throw error;
    scene.find("structure", "MalformedExport", scene.tree.size + 1, error.message);
    isExport = scene.tree.size > 0;
  }
  if (isExport) chain.end(end);
}

async function takeEntry(scene, entry) {
  if (entry === null) return;
  let event;
  try {
    event = readEvent(entry);
  } catch (error) {
    if (!(error instanceof EventError || error instanceof UnknownKind)) throw error;
    const name = error instanceof UnknownKind ? "UnknownKind" : "MalformedEvent";
    scene.find("structure", name, entry.index, error.message);
    return;
  }
  scene.timeUs = entry.timeUs;
  await HANDLERS[entry.kind]?.(scene, entry.index, event);
}

async function report(scene, election) {
  finish(scene, election);
  const { recounted, valid, invalid } = await recount(scene, election);
  checkAttestations(scene, election);
  const { issued, board, casts, claimed, attested, tally, roll, added } = election;
  const published = board.length;
  return {
    election: hex(election.election),
    eid: hex(election.eid),
    status: election.status,
    accounting: {
      roll: roll.size || added.size,
      issued: issued.size,
      cast: casts,
      published,
      valid: recounted ? valid : null,
      invalid: recounted ? invalid : null,
      unused: claimed.size,
      silent: issued.size - Math.max(published, casts) - claimed.size,
    },
    recounted,
    disputed: [...attested.values()].some((digest) => hex(digest) !== hex(sha256(tally))),
  };
}

function summary(scene, chain, elections) {
  const findings = scene.findings.sorted();
  const failed = new Set(findings.map((finding) => finding.level));
  const unfailed = scene.tree.size > 0 ? "pass" : "not checked";
  return {
    passed: findings.length === 0,
    entries: scene.tree.size,
    checkpoints: chain.checkpoints,
    genesis: hex(scene.genesis),
    root: hex(scene.tree.root()),
    levels: Object.fromEntries(LEVELS.map((level) => [level, failed.has(level) ? "fail" : unfailed])),
    first: findings[0] ?? null,
    findings,
    recoveries: scene.recoveries,
    elections,
  };
}
