// Byte strings are Uint8Array, numbers in them big-endian.

const text = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const utf8 = (string) => text.encode(string);

/** The text of UTF-8 bytes. Throws for anything else. */
export const fromUtf8 = (data) => strict.decode(data);

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export const equal = (one, other) => compare(one, other) === 0;

/** Negative, 0 or positive, as byte strings are ordered. */
export const compare = (one, other) => Buffer.compare(one, other);

export const hex = (data) => Buffer.from(data.buffer, data.byteOffset, data.length).toString("hex");

/** The bytes of lower- or upper-case hex. */
export const unhex = (digits) => new Uint8Array(Buffer.from(digits, "hex"));

/** `value` in exactly `size` bytes. Throws when it does not fit. */
export function unsigned(value, size) {
  const digits = BigInt(value).toString(16).padStart(2 * size, "0");
  if (BigInt(value) < 0n || digits.length !== 2 * size) throw new RangeError(`${value} does not fit ${size} bytes`);
  return unhex(digits);
}

export const u16 = (value) => unsigned(value, 2);
export const u32 = (value) => unsigned(value, 4);
export const u64 = (value) => unsigned(value, 8);

export const toBigInt = (data) => (data.length ? BigInt(`0x${hex(data)}`) : 0n);

export function xor(one, other) {
  return one.map((byte, at) => byte ^ other[at]);
}

/** The bytes whose standard base64 with padding this is, to the letter; null for any other text. */
export function unbase64(string) {
  const data = Buffer.from(string, "base64");
  return data.toString("base64") === string ? new Uint8Array(data) : null;
}

export const base64url = (data) => Buffer.from(data).toString("base64url");
