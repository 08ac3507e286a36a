// msgpack, as payloads and exports use it: whole, well-formed, bounded.
//
// Maps become Map, binaries Uint8Array, integers Number where that is exact and else BigInt.

import { fromUtf8 } from "./bytes.mjs";

const MAX_ITEMS = 1 << 20;
const MAX_DEPTH = 256;

export class UnpackError extends Error {}

/** A value of an extension type, a float, or a text that is not UTF-8: no field of the protocol holds any. */
export class Foreign {}

/** A number of the format's floating kinds, which is never taken for an integer. */
class Float extends Foreign {}

/**
 * The value that `data` holds, all of it. With `textKeys` every text is UTF-8 and map keys are text or binary.
 * Throws UnpackError.
 */
export function unpack(data, { textKeys = false } = {}) {
  const reader = new Reader(data, textKeys);
  const value = reader.value(0);
  if (reader.at !== data.length) throw new UnpackError("bytes follow the value");
  return value;
}

class Reader {
  constructor(data, strict) {
    this.data = data;
    this.strict = strict;
    this.view = new DataView(data.buffer, data.byteOffset, data.length);
    this.at = 0;
    this.items = 0;
  }

  take(size) {
    if (this.at + size > this.data.length) throw new UnpackError("the data is cut short");
    this.at += size;
    return this.at - size;
  }

  length(size) {
    const at = this.take(size);
    return size === 1 ? this.data[at] : size === 2 ? this.view.getUint16(at) : this.view.getUint32(at);
  }

  bytes(size) {
    const at = this.take(size);
    return this.data.subarray(at, at + size);
  }

  value(depth) {
    if (depth > MAX_DEPTH) throw new UnpackError("nested too deeply");
    const code = this.data[this.take(1)];
    if (code < 0x80) return code;
    if (code < 0x90) return this.map(code & 15, depth);
    if (code < 0xa0) return this.array(code & 15, depth);
    if (code < 0xc0) return this.text(code & 31);
    if (code >= 0xe0) return code - 256;
    return this.long(code, depth);
  }

  long(code, depth) {
    switch (code) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return this.bytes(this.length(1 << (code - 0xc4)));
      case 0xc7: case 0xc8: case 0xc9: return this.foreign(1 + this.length(1 << (code - 0xc7)));
      case 0xca: case 0xcb: this.take(4 << (code - 0xca)); return new Float();
      case 0xcc: case 0xcd: case 0xce: return this.length(1 << (code - 0xcc));
      case 0xcf: return exact(this.view.getBigUint64(this.take(8)));
      case 0xd0: return this.view.getInt8(this.take(1));
      case 0xd1: return this.view.getInt16(this.take(2));
      case 0xd2: return this.view.getInt32(this.take(4));
      case 0xd3: return exact(this.view.getBigInt64(this.take(8)));
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return this.foreign(1 + (1 << (code - 0xd4)));
      case 0xd9: case 0xda: case 0xdb: return this.text(this.length(1 << (code - 0xd9)));
      case 0xdc: case 0xdd: return this.array(this.length(2 << (code - 0xdc)), depth);
      case 0xde: case 0xdf: return this.map(this.length(2 << (code - 0xde)), depth);
      default: throw new UnpackError("a byte that begins nothing");
    }
  }

  foreign(size) {
    this.take(size);
    return new Foreign();
  }

  text(size) {
    const data = this.bytes(size);
    try {
      return fromUtf8(data);
    } catch {
      if (this.strict) throw new UnpackError("a text that is not UTF-8");
      return new Foreign();
    }
  }

  count(items) {
    this.items += 1 + items;
    if (this.items > MAX_ITEMS || items > this.data.length) throw new UnpackError("too many items");
  }

  array(size, depth) {
    this.count(size);
    return Array.from({ length: size }, () => this.value(depth + 1));
  }

  map(size, depth) {
    this.count(size);
    const map = new Map();
    for (let number = 0; number < size; number++) {
      const key = this.value(depth + 1);
      if (this.strict && typeof key !== "string" && !(key instanceof Uint8Array)) {
        throw new UnpackError("a key that is not text");
      }
      map.set(key, this.value(depth + 1));
    }
    return map;
  }
}

const exact = (value) => (BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : value);
