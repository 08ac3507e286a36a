// Names in a definition and names written in: what they may be, and when two are the same.

import { compare, utf8 } from "./bytes.mjs";
import { encode } from "./document.mjs";
import { ASSIGNED_IN_3_2 } from "./unicode.mjs";

export const OTHER = "other names";
const MOST_WRITE_INS = 10;
const MOST_BYTES = 64;
const MOST_LISTED = 100;

// White space as Unicode's White_Space and the four separators among the control characters.
const SPACE = /[\x09-\x0d\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u;
const SPACE_AT_AN_END = new RegExp(`^${SPACE.source}|${SPACE.source}$`, "u");

// Case folding (CaseFolding.txt, C and F) is lower case of upper case of lower case, but for these.
const CHEROKEE = /^[\u13a0-\u13fd\uab70-\uabbf]$/u;
const DOTLESS_I = "\u0131";

const lower = (string) => [...string].map((char) => char.toLowerCase()).join("");

function folded(char) {
  if (CHEROKEE.test(char)) return char.toUpperCase();
  return char === DOTLESS_I ? char : lower(char.toLowerCase().toUpperCase());
}

const fold = (string) => [...string].map(folded).join("");

/** NFKC, case folded, NFKC again, single spaces. */
export function normalForm(name) {
  return fold(name.normalize("NFKC")).normalize("NFKC").split(SPACE).filter(Boolean).join(" ");
}

const isOld = (char) => {
  const point = char.codePointAt(0);
  let [low, high] = [0, ASSIGNED_IN_3_2.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (ASSIGNED_IN_3_2[middle][0] <= point) low = middle;
    else high = middle;
  }
  return ASSIGNED_IN_3_2[low][0] <= point && point <= ASSIGNED_IN_3_2[low][1];
};

/** Whether a definition may show this text: not empty, no space at an end, no control character, not too long. */
export function isShown(text, most) {
  return text !== "" && !SPACE_AT_AN_END.test(text) && [...text].length <= most && !/\p{Cc}/u.test(text);
}

/** Why names cannot be written in to this question; empty when they can, or need not be. */
export function writeInFlaw(question) {
  const { writeIns, declared, options, maxChoices } = question;
  if (writeIns === 0) return declared.length ? "names are declared, but none can be written in" : "";
  if (!(1 <= writeIns && writeIns <= Math.min(MOST_WRITE_INS, maxChoices))) return "write_ins is out of range";
  const names = [...options, ...declared];
  if (!names.every((name) => [...name].every(isOld))) return "a name has a character newer than Unicode 3.2";
  return new Set(names.map(normalForm)).size === names.length ? "" : "two names could not be told apart";
}

/** Whether the answer's texts may be in it. */
export function textsFit(question, answer) {
  const texts = answer.filter((mark) => typeof mark === "string");
  if (!texts.length) return true;
  const fits = (text) => text !== "" && encode(text).length - 2 <= MOST_BYTES && !/[\x00-\x1f\x7f-\x9f]/.test(text);
  return texts.length <= question.writeIns && answer.length <= question.maxChoices && texts.every(fits);
}

/** The longest answer, from the longest one without written names. */
export function longestWithNames(question, numbers) {
  const kept = question.maxChoices - question.writeIns;
  return [...numbers.slice(Math.max(0, numbers.length - kept)), ...Array(question.writeIns).fill("x".repeat(MOST_BYTES))];
}

/** Answers with numbers for all names, and what the result says of other names. `given` are [answer, weight]. */
export function resolve(question, given) {
  const numbers = new Map([...question.options, ...question.declared].map((name, number) => [normalForm(name), number]));
  const others = new Map();
  const ballots = given.map(([marks, weight]) => {
    const unknown = new Set(marks.filter((mark) => typeof mark === "string" && !numbers.has(mark)));
    for (const name of unknown) others.set(name, (others.get(name) ?? 0) + weight);
    return [numbered(marks, numbers), weight];
  });
  const ordered = [...others].sort(([a, votesA], [b, votesB]) => votesB - votesA || byCodePoints(a, b));
  const listed = ordered.slice(0, MOST_LISTED).map(([name, votes]) => ({ name, votes }));
  const more = ordered.slice(MOST_LISTED).reduce((sum, [, votes]) => sum + votes, 0);
  return { ballots, written: { listed, more } };
}

function numbered(marks, numbers) {
  const [answer, written] = [[], new Set()];
  for (const mark of marks) {
    const isText = typeof mark === "string";
    const number = isText ? (numbers.get(mark) ?? numbers.size) : mark;
    if (written.has(number) || (isText && answer.includes(number))) continue;
    answer.push(number);
    if (isText) written.add(number);
  }
  return answer;
}

const byCodePoints = (one, other) => compare(utf8(one), utf8(other));
