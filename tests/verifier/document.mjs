// Documents: canonical JSON (RFC 8785) without floats and nulls, integers below 2^53 (section 1).

import { equal, fromUtf8, utf8 } from "./bytes.mjs";

const MAX_DEPTH = 32;

export class DocumentError extends Error {}

const refuse = (reason) => {
  throw new DocumentError(reason);
};

/** The bytes of a value made of objects, arrays, strings, safe integers and truth values. Throws DocumentError. */
export const encode = (value) => utf8(write(value, MAX_DEPTH));

function write(value, depth) {
  if (depth === 0) refuse("nested too deeply");
  switch (typeof value) {
    case "boolean":
      return String(value);
    case "number":
      return Number.isSafeInteger(value) ? String(value) : refuse("not an integer below 2^53");
    case "string":
      return text(value);
    default:
  }
  if (Array.isArray(value)) return `[${value.map((item) => write(item, depth - 1)).join(",")}]`;
  if (typeof value !== "object" || value === null) refuse(`a document has no ${typeof value}`);
  // Sorted as UTF-16 code units, as RFC 8785 and this language do.
  const members = Object.keys(value).sort().map((key) => `${text(key)}:${write(value[key], depth - 1)}`);
  return `{${members.join(",")}}`;
}

const text = (value) => (value.isWellFormed() ? JSON.stringify(value) : refuse("a lone surrogate"));

/** The value of a document. Throws DocumentError unless `data` is exactly what `encode` gives for it. */
export function decode(data) {
  let value;
  try {
    value = JSON.parse(fromUtf8(data));
  } catch {
    refuse("not JSON");
  }
  return equal(encode(value), data) ? value : refuse("not in canonical form");
}
