// Byte strings are Uint8Array, numbers in them big-endian. Like all modules here but those that are run by name
// (verify.mjs, vectors.mjs), this one needs nothing that a browser has not.

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
export function compare(one, other) {
  const shorter = Math.min(one.length, other.length);
  for (let at = 0; at < shorter; at++) if (one[at] !== other[at]) return one[at] - other[at];
  return one.length - other.length;
}

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function hex(data) {
  let digits = "";
  for (const byte of data) digits += DIGITS[byte];
  return digits;
}

/** The bytes of lower- or upper-case hex. */
export function unhex(digits) {
  const data = new Uint8Array(digits.length >> 1);
  for (let at = 0; at < data.length; at++) data[at] = (digit(digits, 2 * at) << 4) | digit(digits, 2 * at + 1);
  return data;
}

/** The value of a hex digit: "0" to "9" have the code points from 0x30 on, "A" and "a" come after 0x40 and 0x60. */
const digit = (digits, at) => (digits.charCodeAt(at) & 0x0f) + (digits.charCodeAt(at) > 0x40 ? 9 : 0);

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
  let data;
  try {
    data = Uint8Array.from(atob(string), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
  return base64(data) === string ? data : null;
}

function base64(data) {
  let characters = "";
  for (const byte of data) characters += String.fromCharCode(byte);
  return btoa(characters);
}

export const base64url = (data) => base64(data).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** The bytes whose `base64url` this is, to the letter; null for any other text. */
export function unbase64url(string) {
  const data = unbase64(string.replaceAll("-", "+").replaceAll("_", "/") + "=".repeat(-string.length & 3));
  return data !== null && base64url(data) === string ? data : null;
}
