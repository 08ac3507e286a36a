// Shamir's sharing over GF(2^8) modulo 0x11b, each byte of the secret for itself.

const times = (a, b) => {
  let product = 0;
  for (let left = a, right = b; right; right >>= 1) {
    if (right & 1) product ^= left;
    left = (left << 1) ^ (left & 0x80 ? 0x11b : 0);
  }
  return product;
};

const inverse = (a) => {
  let result = 1;
  for (let step = 0; step < 254; step++) result = times(result, a);
  return result;
};

/** Share i of 1..n: the value at i of the polynomial with this constant term and these coefficients. */
export function share(secret, coefficients, n) {
  const size = secret.length;
  const degree = coefficients.length / size;
  return Array.from({ length: n }, (_, number) =>
    secret.map((constant, at) => {
      let value = 0;
      for (let power = degree; power >= 1; power--) value = times(value, number + 1) ^ coefficients[(power - 1) * size + at];
      return times(value, number + 1) ^ constant;
    }),
  );
}

/** The secret, from a Map of exactly k shares by their numbers. */
export function combine(shares) {
  const numbers = [...shares.keys()];
  const secret = new Uint8Array([...shares.values()][0].length);
  for (const [i, value] of shares) {
    const weight = numbers.filter((j) => j !== i).reduce((product, j) => times(product, times(j, inverse(j ^ i))), 1);
    value.forEach((byte, at) => (secret[at] ^= times(weight, byte)));
  }
  return secret;
}
