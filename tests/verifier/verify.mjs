// The second verifier: audits exports with nothing but this folder and WebCrypto.
//
//   node verify.mjs EXPORT... [--genesis HASH] [--json]
//
// With --json one line a file. Exit status: 0 when all pass, 1 when one does not, 2 for wrong usage.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { audit } from "./audit.mjs";
import { readExport } from "./export.mjs";

const USAGE = "usage: node verify.mjs EXPORT... [--genesis HASH] [--json]";

function read() {
  try {
    const options = { genesis: { type: "string", default: "" }, json: { type: "boolean", default: false } };
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    if (positionals.length && /^([0-9a-f]{64})?$/i.test(values.genesis)) return { ...values, files: positionals };
  } catch {
    // Told below.
  }
  console.error(USAGE);
  process.exit(2);
}

function show(file, report) {
  console.log(`${file}: ${report.entries} entries, ${report.checkpoints} checkpoints, genesis ${report.genesis}`);
  for (const { level, name, index, detail } of report.findings) console.log(`  ${level} ${name} at entry ${index}: ${detail}`);
  for (const { index } of report.recoveries) console.log(`  NOTICE: recovered at entry ${index}, entries may be missing`);
  for (const { election, status, accounting, recounted, disputed } of report.elections) {
    const numbers = Object.entries(accounting).map(([name, number]) => `${name} ${number}`);
    const notes = [status, recounted ? "recounted" : "not recounted", ...(disputed ? ["disputed"] : [])];
    console.log(`  election ${election}: ${[...notes, ...numbers].join(", ")}`);
  }
  console.log(`audit: ${report.passed ? "PASS" : "FAIL"}`);
}

const { files, genesis, json } = read();
let passed = true;
for (const file of files) {
  const report = await audit(readExport(new Uint8Array(readFileSync(file))), genesis.toLowerCase());
  passed &&= report.passed;
  if (json) console.log(JSON.stringify(report));
  else show(file, report);
}
process.exitCode = passed ? 0 : 1;
