// RSA as the protocol uses it: PSS and OAEP by WebCrypto, the public operation and the padding by hand.

import { base64url, concat, toBigInt, u32, unsigned, xor } from "./bytes.mjs";
import { inverse, powmod } from "./numbers.mjs";
import { sha256 } from "./sha256.mjs";

const { subtle } = globalThis.crypto;
const E = 65537n;
const PSS = { name: "RSA-PSS", hash: "SHA-384" };
const OAEP = { name: "RSA-OAEP", hash: "SHA-256" };
const SALT_BYTES = 48;
const HASH_BYTES = 32;
const KEPT_KEYS = 4096;

const keys = new Map();

function publicKey(modulus) {
  const n = base64url(modulus);
  let key = keys.get(n);
  if (key === undefined) {
    if (keys.size >= KEPT_KEYS) keys.clear();
    key = subtle.importKey("jwk", { kty: "RSA", n, e: base64url(unsigned(E, 3)) }, PSS, false, ["verify"]);
    keys.set(n, key);
  }
  return key;
}

/** Whether the modulus fills its bytes and is odd: else nothing verifies under it. */
export const isModulus = (modulus) => modulus.length > 0 && modulus[0] >= 0x80 && (modulus.at(-1) & 1) === 1;

/** Whether this is the signature (PSS, SHA-384, MGF1-SHA-384, salt of 48) of the message under this modulus. */
export async function verifyPss(modulus, signature, message) {
  if (signature.length !== modulus.length || !isModulus(modulus)) return false;
  try {
    return await subtle.verify({ name: "RSA-PSS", saltLength: SALT_BYTES }, await publicKey(modulus), signature, message);
  } catch {
    return false;
  }
}

/** value^65537 mod n, as long as the modulus. */
export function publicOperation(modulus, value) {
  return unsigned(powmod(value, E, toBigInt(modulus)), modulus.length);
}

/** Whether blind_sig^65537 mod n is `blinded`, both of the modulus's length and below it. */
export function isBlindSignature(modulus, blinded, blindSig) {
  if (blinded.length !== modulus.length || blindSig.length !== modulus.length) return false;
  const [n, message, signature] = [modulus, blinded, blindSig].map(toBigInt);
  return message < n && signature < n && powmod(signature, E, n) === message;
}

/** Why p and q are not the factors of this modulus, as a trustee releases them; empty when they are. */
export function primesFlaw(modulus, p, q, isPrime) {
  if (p * q !== toBigInt(modulus)) return "p and q are not the factors of the modulus";
  if (!isPrime(p) || !isPrime(q)) return "a factor is not prime";
  if (p <= q) return "p is not the larger factor";
  if ((p - 1n) % E === 0n || (q - 1n) % E === 0n) return "65537 has no inverse";
  return "";
}

/** A key that `decryptOaep` takes, from its primes. */
export function privateKey(p, q) {
  const d = inverse(E, (p - 1n) * (q - 1n));
  const numbers = { n: p * q, e: E, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  const jwk = { kty: "RSA" };
  for (const [name, value] of Object.entries(numbers)) jwk[name] = base64url(minimal(value));
  return subtle.importKey("jwk", jwk, OAEP, false, ["decrypt"]);
}

function minimal(value) {
  const digits = value.toString(16);
  return unsigned(value, (digits.length + 1) >> 1);
}

/** The message, or null when the ciphertext was not made for this key and label. */
export async function decryptOaep(key, ciphertext, label) {
  try {
    return new Uint8Array(await subtle.decrypt({ name: "RSA-OAEP", label }, key, ciphertext));
  } catch {
    return null;
  }
}

/** RSAES-OAEP with a chosen seed of 32 bytes (RFC 8017, section 7.1.1), which WebCrypto has not. */
export function encryptOaep(modulus, message, label, seed) {
  const padding = new Uint8Array(modulus.length - message.length - 2 * HASH_BYTES - 2);
  const data = concat(sha256(label), padding, Uint8Array.of(1), message);
  const maskedData = xor(data, mgf1(seed, data.length));
  const maskedSeed = xor(seed, mgf1(maskedData, HASH_BYTES));
  return publicOperation(modulus, toBigInt(concat(maskedSeed, maskedData)));
}

function mgf1(seed, length) {
  const blocks = Array.from({ length: Math.ceil(length / HASH_BYTES) }, (_, counter) => sha256(seed, u32(counter)));
  return concat(...blocks).subarray(0, length);
}
