// The whole way of a voter, from another origin than the nodes'. It asks the test where a page would ask people, and
// tells it what it found.

import { base64url, equal, unbase64url } from "../verifier/bytes.mjs";
import { sha256 } from "../verifier/sha256.mjs";
import { Account, ALONE, send } from "./api.mjs";
import { Log } from "./log.mjs";
import { openStore } from "./store.mjs";
import { Voter } from "./voter.mjs";

const found = {};

async function tell(what, body = {}) {
  return (await fetch(`/tell/${what}`, { method: "POST", body: JSON.stringify(body) })).json();
}

async function vote({ nodes, email, password, answers }) {
  const [first, second, third] = nodes;
  const code = async () => (await tell("code")).code;
  const account = new Account([first]);
  await account.enter("register", email, password, code);
  const user = await account.enter("login", email, password, code);
  found.user = user.id;

  const store = await openStore("voter");
  const genesis = await (await fetch("/genesis")).bytes();
  const log = await Log.open([third], genesis, store);
  const voter = new Voter(account, user.id, log, store, [third]);
  await voter.enrol();

  await tell("enrolled");
  const { elections } = await (await account.ask("GET", "/api/elections?role=voter&status=open")).json();
  found.elections = elections.map(({ id }) => id);
  const election = await voter.believe(elections[0].id);
  await voter.askCredential(election);
  await readAgain(account, election, second);

  const events = new EventSource(`${second}/api/elections/${election.id}/events`);
  const turnout = heard(events, "turnout", ({ cast }) => cast === 1);
  const tallied = heard(events, "status", ({ status }) => status === "tallied");
  found.status = await heard(events, "status", () => true);

  const body = await voter.fillIn(election, answers);
  await readRefusals(account, election, third, body);
  found.ballot = base64url(sha256(body));
  found.index = await voter.cast(election);
  found.again = await voter.cast(election);
  found.turnout = await turnout;

  await tell("counted");
  found.tallied = await tallied;
  events.close();
  await readResults(account, election, body);
}

/** A write at one node is seen at every other, and what did not change is not sent again. */
async function readAgain(account, { id }, node) {
  const path = `/api/elections/${id}`;
  account.nodes = [node];
  const once = await account.ask("GET", path);
  found.credentialIssued = (await once.json()).credential_issued;
  const etag = once.headers.get("ETag");
  found.asked = (await account.ask("GET", path, undefined, { "If-None-Match": etag })).status;
  const cached = await account.ask("GET", path); // The browser asks with the ETag by itself, and shows what it has.
  found.cached = { status: cached.status, same: (await cached.json()).id === id };
}

/** What a page reads of a request that is refused. */
async function readRefusals(account, { id }, node, body) {
  const octets = { "Content-Type": "application/octet-stream" };
  const altered = body.with(-1, body.at(-1) ^ 1);
  const refused = async (asked) => {
    const { status, refusal } = await asked.then(() => ({}), (error) => error);
    return [status, refusal];
  };
  found.refused = {
    unknown: await refused(account.ask("GET", `/api/elections/${base64url(new Uint8Array(16))}`)),
    nowhere: await refused(account.ask("PUT", `/api/elections/${id}/nowhere`, {})),
    altered: await refused(send([node], "/api/votes", { method: "POST", headers: octets, body: altered })),
    linkable: await refused(
      send([node], "/api/votes", { method: "POST", headers: { ...octets, Authorization: "Bearer x" }, body }),
    ),
  };
  const raw = await fetch(`${node}/api/votes`, { method: "POST", headers: octets, body: altered, ...ALONE });
  found.problem = { type: raw.headers.get("Content-Type"), keys: Object.keys(await raw.json()).sort() };
}

/** The board is downloaded whole: whoever asks for one ballot tells which is theirs. */
async function readResults(account, { id }, body) {
  const board = await (await account.ask("GET", `/api/elections/${id}/ballots`)).text();
  const ballots = board.trim().split("\n").map((line) => unbase64url(JSON.parse(line).ballot));
  found.onBoard = ballots.some((ballot) => equal(ballot, body));
  const { tally, accounting } = await (await account.ask("GET", `/api/elections/${id}/results`)).json();
  found.result = { winners: tally.questions[0].winners, valid: accounting.valid };
}

/** What the first event of this name says that is as wanted. */
function heard(events, name, isWanted) {
  return new Promise((resolve, reject) => {
    events.addEventListener(name, ({ data }) => isWanted(JSON.parse(data)) && resolve(JSON.parse(data)));
    events.addEventListener("error", () => events.readyState === EventSource.CLOSED && reject(new Error("no events")));
  });
}

vote(await tell("task")).then(
  () => tell("done", found),
  (error) => tell("done", { ...found, failed: `${error.stack}` }),
);
