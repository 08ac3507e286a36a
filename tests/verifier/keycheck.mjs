// What a modulus must withstand before anybody relies on it (docs/protocol.md, section 6).

import { toBigInt } from "./bytes.mjs";
import { bitLength, gcd, isPower, isPrime, isSquare, primesBelow, squareRoot } from "./numbers.mjs";

const SMALL = 10_000;
const SMALL_PRIMES = primesBelow(SMALL).reduce((product, prime) => product * BigInt(prime), 1n);
const FERMAT_STEPS = 100n;

// The residues that powers of 65537 take modulo each odd prime up to 167.
const ROCA = primesBelow(168).slice(1).map((prime) => {
  const residues = new Set();
  for (let power = 1; !residues.has(power); power = (power * 65537) % prime) residues.add(power);
  return [BigInt(prime), residues];
});
const GLANCE_PRODUCT = ROCA.reduce((product, [prime]) => product * prime, 1n);

function shapeFlaw(modulus, bits) {
  if (modulus.length * 8 !== bits) return `not ${bits} bits`;
  const n = toBigInt(modulus);
  if (bitLength(n) !== BigInt(bits)) return "top bit clear";
  return n % 2n === 0n ? "even" : "";
}

const isFingerprint = (n) => ROCA.every(([prime, residues]) => residues.has(Number(n % prime)));

/** What an audit looks at in a voter's key; empty when nothing is wrong. */
export function flawAtAGlance(modulus, bits) {
  const flaw = shapeFlaw(modulus, bits);
  if (flaw) return flaw;
  const residue = toBigInt(modulus) % GLANCE_PRODUCT;
  if (ROCA.some(([prime]) => residue % prime === 0n)) return "a prime factor below 168";
  return isFingerprint(residue) ? "ROCA fingerprint" : "";
}

/** What is wrong with a key that is used once; empty when nothing is. */
export function oneUseFlaw(modulus, bits = 2048) {
  const flaw = shapeFlaw(modulus, bits);
  if (flaw) return flaw;
  const n = toBigInt(modulus);
  if (gcd(SMALL_PRIMES, n) !== 1n) return "a prime factor below 10000";
  return isFingerprint(n) ? "ROCA fingerprint" : "";
}

/** What is wrong with a key of a node, a registrar, a trustee or a voter. */
export function longLivedFlaw(modulus, bits = 3072) {
  const flaw = oneUseFlaw(modulus, bits);
  if (flaw) return flaw;
  const n = toBigInt(modulus);
  if (isPrime(n)) return "prime";
  if (isPower(n, BigInt(SMALL))) return "perfect power";
  if (primesAreClose(n)) return "primes too close";
  return "";
}

function primesAreClose(n) {
  const a = squareRoot(n) + 1n;
  for (let step = 0n; step < FERMAT_STEPS; step++) if (isSquare((a + step) ** 2n - n)) return true;
  return false;
}
