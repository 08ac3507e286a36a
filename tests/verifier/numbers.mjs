// Arithmetic on the integers of RSA keys, which takes a time that depends on them: for published numbers.

export function powmod(base, exponent, n) {
  let result = 1n;
  let power = base % n;
  for (let rest = exponent; rest; rest >>= 1n) {
    if (rest & 1n) result = (result * power) % n;
    power = (power * power) % n;
  }
  return result;
}

export function gcd(a, b) {
  while (b) [a, b] = [b, a % b];
  return a;
}

/** The inverse of a modulo n. Throws RangeError when there is none. */
export function inverse(a, n) {
  let [r0, r1, t0, t1] = [n, ((a % n) + n) % n, 0n, 1n];
  while (r1) {
    const quotient = r0 / r1;
    [r0, r1, t0, t1] = [r1, r0 - quotient * r1, t1, t0 - quotient * t1];
  }
  if (r0 !== 1n) throw new RangeError("no inverse");
  return ((t0 % n) + n) % n;
}

export const bitLength = (n) => (n ? BigInt(n.toString(16).length - 1) * 4n + BigInt(32 - Math.clz32(Number(topDigit(n)))) : 0n);

const topDigit = (n) => BigInt(`0x${n.toString(16)[0]}`);

/** The largest integer whose square is at most n. */
export const squareRoot = (n) => root(n, 2n);

/** The largest integer whose `degree`-th power is at most n. */
export function root(n, degree) {
  if (n < 2n) return n;
  let x = 1n << (bitLength(n) / degree + 1n);
  for (;;) {
    const next = ((degree - 1n) * x + n / x ** (degree - 1n)) / degree;
    if (next >= x) return x;
    x = next;
  }
}

export const isSquare = (n) => n >= 0n && squareRoot(n) ** 2n === n;

export function primesBelow(limit) {
  const sieve = new Uint8Array(limit).fill(1);
  const primes = [];
  for (let n = 2; n < limit; n++) {
    if (!sieve[n]) continue;
    primes.push(n);
    for (let multiple = n * n; multiple < limit; multiple += n) sieve[multiple] = 0;
  }
  return primes;
}

/** Whether n = a^b for some b > 1, where n has no prime factor below `least`. */
export function isPower(n, least = 2n) {
  const most = Math.ceil(Number(bitLength(n)) / Number(bitLength(least) - 1n));
  return primesBelow(most + 1).some((degree) => root(n, BigInt(degree)) ** BigInt(degree) === n);
}

/** Miller and Rabin's test to fixed bases: a composite of somebody's making could pass, and only harm its maker. */
export function isPrime(n) {
  if (n < 2n) return false;
  const bases = primesBelow(100).map(BigInt);
  if (bases.includes(n)) return true;
  if (bases.some((prime) => n % prime === 0n)) return false;
  let [odd, twos] = [n - 1n, 0];
  while (!(odd & 1n)) [odd, twos] = [odd >> 1n, twos + 1];
  return bases.every((base) => passes(base, n, odd, twos));
}

function passes(base, n, odd, twos) {
  let x = powmod(base, odd, n);
  if (x === 1n || x === n - 1n) return true;
  for (let step = 1; step < twos; step++) {
    x = (x * x) % n;
    if (x === n - 1n) return true;
  }
  return false;
}
