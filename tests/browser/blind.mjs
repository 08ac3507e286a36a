// The voter's side of blind signatures: RSABSSA-SHA384-PSS-Randomized (RFC 9474), with integers of any size.
//
// Such integers take a time that depends on their values. What is secret here is used once, in the voter's own browser.

import { concat, toBigInt, u32, unsigned, xor } from "../verifier/bytes.mjs";
import { inverse, powmod } from "../verifier/numbers.mjs";
import { verifyPss } from "../verifier/rsa.mjs";

const E = 65537n;
const HASH_BYTES = 48;
const SALT_BYTES = 48;

export class BlindError extends Error {}

export const random = (size) => crypto.getRandomValues(new Uint8Array(size));

const sha384 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-384", concat(...parts)));

async function mgf1(seed, length) {
  const counters = Array.from({ length: Math.ceil(length / HASH_BYTES) }, (_, counter) => u32(counter));
  return concat(...(await Promise.all(counters.map((counter) => sha384(seed, counter))))).subarray(0, length);
}

/** EMSA-PSS-ENCODE (RFC 8017, section 9.1.1) for a modulus that fills its `size` bytes. */
async function encodePss(message, salt, size) {
  const digest = await sha384(new Uint8Array(8), await sha384(message), salt);
  const data = concat(new Uint8Array(size - salt.length - HASH_BYTES - 2), Uint8Array.of(1), salt);
  const masked = xor(data, await mgf1(digest, data.length));
  masked[0] &= 0x7f;
  return concat(masked, digest, Uint8Array.of(0xbc));
}

/** A number from 1 to n - 1, all as likely. */
function randomUnit(n, size) {
  for (;;) {
    const number = toBigInt(random(size));
    if (number > 0n && number < n) return number;
  }
}

/** { blinded, unblinder }: what to send, and the secret that unblinds; `salt` and `r` are random but in a test. */
export async function blind(modulus, prepared, { salt = random(SALT_BYTES), r } = {}) {
  const [n, size] = [toBigInt(modulus), modulus.length];
  const unit = r ?? randomUnit(n, size);
  const encoded = toBigInt(await encodePss(prepared, salt, size));
  inverse(encoded, n); // Throws when the modulus shares a factor with the message: no real one does.
  return { blinded: unsigned((encoded * powmod(unit, E, n)) % n, size), unblinder: unsigned(inverse(unit, n), size) };
}

/** The signature of the prepared message. Throws BlindError when the registrar's answer does not lead to one. */
export async function unblind(modulus, prepared, blindSig, unblinder) {
  const signature = unsigned((toBigInt(blindSig) * toBigInt(unblinder)) % toBigInt(modulus), modulus.length);
  if (!(await verifyPss(modulus, signature, prepared))) throw new BlindError("the unblinded signature does not verify");
  return signature;
}
