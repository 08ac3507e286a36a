// Holds blind.mjs against RFC 9474's own vectors, with Node.js: node blind_vectors.mjs FILE
//
// Prints one line a vector with a salt of 48 bytes: its name, and whether all of it agrees.

import { readFileSync } from "node:fs";
import { equal, toBigInt, unhex } from "../verifier/bytes.mjs";
import { inverse } from "../verifier/numbers.mjs";
import { blind, unblind } from "./blind.mjs";

for (const vector of JSON.parse(readFileSync(process.argv[2]))) {
  const bytesOf = (name) => unhex(vector[name].replace(/^0x/, ""));
  const [n, prepared, salt, inv] = ["n", "input_msg", "salt", "inv"].map(bytesOf);
  const [blinded, blindSig, signature] = ["blinded_msg", "blind_sig", "sig"].map(bytesOf);
  if (salt.length !== 48) continue;
  const r = inverse(toBigInt(inv), toBigInt(n));
  const ours = await blind(n, prepared, { salt, r });
  const agrees = equal(ours.blinded, blinded) && equal(await unblind(n, prepared, blindSig, ours.unblinder), signature);
  const refused = await unblind(n, prepared, blinded, ours.unblinder).then(() => false, () => true);
  console.log(JSON.stringify({ name: vector.name, agrees: agrees && refused }));
}
