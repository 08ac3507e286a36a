// Shows receipts to log.mjs, with Node.js: node log_receipts.mjs NODE FILE
//
// FILE has, in hex, `genesis` (a genesis file), `body` (the ballot) and `receipts`. Each is looked at in a session of its
// own. Prints for each the index that it proves, or the name of the error and its message.

import { readFileSync } from "node:fs";
import { unhex } from "../verifier/bytes.mjs";
import { Log } from "./log.mjs";

const [node, file] = process.argv.slice(2);
const { genesis, body, receipts } = JSON.parse(readFileSync(file));
const records = new Map();
const store = { load: async (name) => records.get(name), save: async (name, record) => records.set(name, record) };

for (const receipt of receipts) {
  const log = await Log.open([node], unhex(genesis), store);
  const told = await log.receipt(unhex(receipt), unhex(body)).catch((error) => `${error.constructor.name}: ${error.message}`);
  console.log(JSON.stringify(told));
}
