// The sealed ballot: opened by k trustees or by its seed, and sealed again to compare every byte.

import { concat, equal, toBigInt, u16, u32 } from "./bytes.mjs";
import { frame, FrameError, keyHash, parseFrame } from "./frame.mjs";
import { decryptOaep, encryptOaep } from "./rsa.mjs";
import { combine, share } from "./shamir.mjs";
import { sha256 } from "./sha256.mjs";

const { subtle } = globalThis.crypto;
const TAG_BYTES = 16;
const SEED_BYTES = 32;

/** What an envelope is bound to; `trustees` are their moduli, number 1 first. */
export class Context {
  constructor(eid, bid, k, trustees, padLen) {
    Object.assign(this, { eid, bid, k, trustees, padLen });
    this.encoded = frame("envelope-ctx", eid, bid, u32(k), u32(trustees.length), u32(padLen));
  }

  label(number) {
    return frame("share", this.eid, this.bid, u32(number), keyHash(this.trustees[number - 1]));
  }
}

/** The body and the sealed shares, or null where the public shape is wrong. */
export function parseEnvelope(ctx, env) {
  let fields;
  try {
    fields = parseFrame("envelope", env, 1 + ctx.trustees.length);
  } catch (error) {
    if (error instanceof FrameError) return null;
    throw error;
  }
  const [body, ...shares] = fields;
  if (body.length !== ctx.padLen + TAG_BYTES) return null;
  const fits = (sealed, at) =>
    sealed.length === ctx.trustees[at].length && toBigInt(sealed) < toBigInt(ctx.trustees[at]);
  return shares.every(fits) ? { body, shares } : null;
}

async function expand(ctx, seed, info, length) {
  if (length === 0) return new Uint8Array();
  const key = await subtle.importKey("raw", seed, "HKDF", false, ["deriveBits"]);
  const hkdf = { name: "HKDF", hash: "SHA-256", salt: sha256(ctx.encoded), info };
  return new Uint8Array(await subtle.deriveBits(hkdf, key, 8 * length));
}

async function payloadCipher(ctx, seed, use) {
  const derived = await expand(ctx, seed, frame("kdf-payload"), 44);
  const key = await subtle.importKey("raw", derived.subarray(0, 32), "AES-GCM", false, [use]);
  return [{ name: "AES-GCM", iv: derived.subarray(32), additionalData: ctx.encoded }, key];
}

/** The envelope with this choice and this seed. */
export async function seal(ctx, choice, seed) {
  const padded = new Uint8Array(ctx.padLen);
  padded.set(concat(u16(choice.length), choice));
  const coefficients = await expand(ctx, seed, frame("kdf-shamir"), SEED_BYTES * (ctx.k - 1));
  const sealed = [];
  for (const [at, value] of share(seed, coefficients, ctx.trustees.length).entries()) {
    const oaepSeed = await expand(ctx, seed, frame("kdf-oaep", u32(at + 1)), 32);
    sealed.push(encryptOaep(ctx.trustees[at], value, ctx.label(at + 1), oaepSeed));
  }
  const [algorithm, key] = await payloadCipher(ctx, seed, "encrypt");
  return frame("envelope", new Uint8Array(await subtle.encrypt(algorithm, key, padded)), ...sealed);
}

/** The choice, by public operations alone; null when the seed does not open the envelope. */
export async function openWithSeed(ctx, env, seed) {
  const parsed = parseEnvelope(ctx, env);
  if (parsed === null || seed.length !== SEED_BYTES) return null;
  const [algorithm, key] = await payloadCipher(ctx, seed, "decrypt");
  let padded;
  try {
    padded = new Uint8Array(await subtle.decrypt(algorithm, key, parsed.body));
  } catch {
    return null;
  }
  const choice = padded.subarray(2, 2 + ((padded[0] << 8) | padded[1]));
  return equal(await seal(ctx, choice, seed), env) ? choice : null;
}

/** { seed, choice } by the keys of the first k of `keys` (a Map by number, rising); null when the ballot is invalid. */
export async function openWithKeys(ctx, env, keys) {
  const parsed = parseEnvelope(ctx, env);
  if (parsed === null) return null;
  const shares = new Map();
  for (const [number, key] of [...keys].slice(0, ctx.k)) {
    const value = await decryptOaep(await key, parsed.shares[number - 1], ctx.label(number));
    if (value === null) return null;
    shares.set(number, value);
  }
  if (new Set([...shares.values()].map((value) => value.length)).size !== 1) return null;
  const seed = combine(shares);
  const choice = await openWithSeed(ctx, env, seed);
  return choice === null ? null : { seed, choice };
}
